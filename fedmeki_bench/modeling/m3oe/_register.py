"""Make M3OE known to PEFT, through PEFT's own `register_peft_method`."""

from __future__ import annotations

from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils import register_peft_method

from fedmeki_bench.modeling.m3oe._peft_type import NAME, peft_type
from fedmeki_bench.modeling.m3oe.config import M3OEConfig
from fedmeki_bench.modeling.m3oe.model import M3OEModel

__all__ = ["register"]


def register() -> None:
    """Register the method with PEFT; harmless when called again."""
    if peft_type() not in PEFT_TYPE_TO_CONFIG_MAPPING:
        register_peft_method(name=NAME.lower(), config_cls=M3OEConfig, model_cls=M3OEModel, prefix=M3OEModel.prefix)
