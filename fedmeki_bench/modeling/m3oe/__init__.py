"""M3OE, the multi-task multimodal mixture of experts of FedKIM, as a PEFT method.

Importing this package registers the method, so that `peft.get_peft_model`, `PeftModel.from_pretrained` and
the rest of PEFT know `M3OEConfig`. Equations, shapes and choices: docs/m3oe.md.
"""

from fedmeki_bench.modeling.m3oe._register import register
from fedmeki_bench.modeling.m3oe.config import Descriptions, M3OEConfig
from fedmeki_bench.modeling.m3oe.layer import M3OELayer
from fedmeki_bench.modeling.m3oe.model import M3OEModel
from fedmeki_bench.modeling.m3oe.report import RouterReport
from fedmeki_bench.modeling.m3oe.router import Router

__all__ = ["Descriptions", "M3OEConfig", "M3OELayer", "M3OEModel", "Router", "RouterReport"]

register()
