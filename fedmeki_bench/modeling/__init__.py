"""Models: encoders of the modalities, the clients' local model, the frozen foundation model, M3OE."""

import logging

from fedmeki_bench.modeling.torchvision_ops import declare_missing_operators

# timm and parts of transformers import torchvision as soon as they find it installed.
declare_missing_operators()

# peft loads bitsandbytes wherever it is installed, which then reports that a kernel of its own is not: at every start,
# to people who have quantised nothing.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
