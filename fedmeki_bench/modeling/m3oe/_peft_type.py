"""The type name `M3OE` among those of PEFT.

PEFT looks methods up by the enumeration `PeftType`, which a library outside PEFT cannot extend by any public
call, so the member is added to it here.
"""

from __future__ import annotations

from peft.utils import PeftType

__all__ = ["NAME", "peft_type"]

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
