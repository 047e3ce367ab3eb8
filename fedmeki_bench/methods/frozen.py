"""The tokens of frozen encoders, computed once an input."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fedmeki_bench.data import Inputs
from fedmeki_bench.modeling.encoders import Encoders
from fedmeki_bench.modeling.foundation import FoundationModel

__all__ = ["FrozenTokens"]


class FrozenTokens:
    """Stands in for encoders that are not trained: same `encode`, no gradient, and no input is encoded twice.

    Tokens are kept in the computer's memory, not the GPU's, in the foundation model's type, to which they are converted
    anyway: 1.6 MB an image at width 4096 in bfloat16. Each input is encoded alone, so what is kept does not depend on
    the batch in which it first came, and a resumed run goes on with the same numbers.

    Args:
        encoders: must not change as long as this object is used.
        foundation: says in which type and on which device tokens are wanted.
        keep: False where no input comes twice: then keeping would only cost memory.
    """

    def __init__(self, encoders: Encoders, foundation: FoundationModel, *, keep: bool = True) -> None:
        self._encoders, self._foundation, self._keep = encoders, foundation, keep
        # The input is kept beside its tokens: an identity is only unique as long as its object lives.
        self._kept: dict[int, tuple[Inputs, Tensor]] = {}

    def encode(self, inputs: Sequence[Inputs]) -> list[Tensor]:
        """Each input's tokens, (tokens, width)."""
        return [self._tokens(one).to(self._foundation.device) for one in inputs]

    @torch.no_grad()
    def _tokens(self, one: Inputs) -> Tensor:
        if id(one) in self._kept:
            return self._kept[id(one)][1]
        tokens = self._encoders.encode([one])[0].to(self._foundation.dtype)
        if self._keep:
            self._kept[id(one)] = one, tokens.cpu()
        return tokens
