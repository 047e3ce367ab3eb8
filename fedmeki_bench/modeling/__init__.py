"""Models: encoders of the modalities, the clients' local model, the frozen foundation model, M3OE."""

from fedmeki_bench.modeling.torchvision_ops import declare_missing_operators

# timm and parts of transformers import torchvision as soon as they find it installed.
declare_missing_operators()
