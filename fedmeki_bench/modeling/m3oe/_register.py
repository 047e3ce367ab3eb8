"""Make M3OE known to PEFT under the type name `M3OE`.

PEFT looks methods up by the enumeration `PeftType`, which a library outside PEFT cannot extend by any public
call, so the member is added to it here; everything after that is PEFT's own `register_peft_method`.
"""

from __future__ import annotations

from peft.utils import PeftType, register_peft_method

__all__ = ["NAME", "peft_type", "register"]

NAME = "M3OE"


def peft_type() -> PeftType:
    """The member `M3OE` of `PeftType`, added on the first call."""
    if NAME not in PeftType.__members__:
        member = str.__new__(PeftType, NAME)
        member._name_ = member._value_ = NAME
        # The same four places that the enumeration's metaclass fills for a member written in the class body.
        # The attribute first: once the name is in the member map, assigning to it is refused.
        setattr(PeftType, NAME, member)
        PeftType._member_map_[NAME] = member
        PeftType._member_names_.append(NAME)
        PeftType._value2member_map_[NAME] = member
    return PeftType(NAME)


def register() -> None:
    """Register the method with PEFT; harmless when called again."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    from fedmeki_bench.modeling.m3oe.config import M3OEConfig
    from fedmeki_bench.modeling.m3oe.model import M3OEModel

    if peft_type() not in PEFT_TYPE_TO_CONFIG_MAPPING:
        register_peft_method(
            name=NAME.lower(), config_cls=M3OEConfig, model_cls=M3OEModel, prefix=M3OEModel.prefix
        )
