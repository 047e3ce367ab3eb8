"""Make `import torchvision` work beside a torch of another build.

The package index serves torchvision built for CUDA. Beside a CPU build of torch its compiled operators do not load,
and the import fails on registering a fake kernel for `torchvision::nms`, which nothing here calls. Declaring the two
missing operators first is enough for timm and transformers, which need torchvision's Python parts only.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

__all__ = ["declare_missing_operators"]

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# A torch.library.Library withdraws its operators when it is collected, so it is kept.
_declared: list[torch.library.Library] = []


def _compiled_operators_load() -> bool:
    spec = importlib.util.find_spec("torchvision")
    folders = list(spec.submodule_search_locations or []) if spec else []
    extensions = [path for folder in folders for path in Path(folder).glob("_C*.so")]
    for extension in extensions:
        try:
            torch.ops.load_library(str(extension))  # type: ignore[no-untyped-call]
        except OSError:
            return False
    return hasattr(torch.ops.torchvision, "nms")


def declare_missing_operators() -> None:
    """Declare torchvision's operators if its compiled extension does not load here; harmless when called again."""
    if _declared or _compiled_operators_load():
        return
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        library.define(schema)  # type: ignore[no-untyped-call]
    _declared.append(library)
