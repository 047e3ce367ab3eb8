"""Feature alignment as in LLaVA: h = [e ; p], the modalities' tokens and then the embedded prompt (FedKIM, Eq. 3).

Sequences are padded on the left, in embeddings, attention mask and positions alike, so that every prompt ends at the
same place and no sample loses its beginning to its batch mates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fedmeki_bench.data import Inputs
from fedmeki_bench.errors import BenchError
from fedmeki_bench.modeling.foundation import FoundationModel
from fedmeki_bench.specs import TaskSpec

__all__ = ["Sequences", "TokenSource", "align", "answer_ids", "length_key", "prompt_text"]

ANSWER_CUE = "\nAnswer:"
"""Ends every prompt; the answer follows after one space."""


class TokenSource(Protocol):
    """What turns inputs into the modalities' tokens: the encoders, or tokens they gave before."""

    def encode(self, inputs: Sequence[Inputs]) -> list[Tensor]:
        """Each input's tokens, (tokens, width), as `Encoders.encode` gives them."""


@dataclass(frozen=True)
class Sequences:
    """A left-padded batch for the foundation model.

    Attributes:
        embeds: (batch, length, width).
        mask: (batch, length), 1 for real tokens.
        positions: (batch, length), counted from each sample's first real token.
    """

    embeds: Tensor
    mask: Tensor
    positions: Tensor


def prompt_text(task: TaskSpec, inputs: Inputs) -> str:
    """The words put to the model: the task's prompt with the input's question, and the cue for the answer.

    Raises:
        BenchError: a text task's input has no question.
    """
    if task.kind == "text" and not inputs.question:
        raise BenchError("an input of a text task has no question", where=f"{task.id}: {inputs.id}")
    # replace, not format: a question may hold braces.
    return task.prompt.replace("{question}", inputs.question or "") + ANSWER_CUE


def answer_ids(foundation: FoundationModel, prompt: str, answer: str) -> list[int]:
    """Token ids of an answer as it continues the prompt.

    The two are tokenised together: some tokenizers write the first word after a space differently from a text's start.
    """
    before = foundation.tokenize(prompt)
    both = foundation.tokenize(f"{prompt} {answer}")
    if both[: len(before)] != before or len(both) == len(before):
        raise BenchError(
            "the tokenizer merges the prompt's end with the answer",
            where=foundation.name,
            found=repr(f"{prompt[-10:]} {answer}"),
        )
    return both[len(before) :]


def length_key(inputs: Inputs) -> tuple[int, ...]:
    """Sorts inputs by the length of their sequences, so that batches need little padding."""
    hours = sum(len(array) for name, array in inputs.modalities.items() if name not in ("image", "signal"))
    return ("image" in inputs.modalities, hours, len(inputs.question or ""))


def align(
    foundation: FoundationModel,
    encoders: TokenSource,
    tasks: Sequence[TaskSpec],
    inputs: Sequence[Inputs],
    answers: Sequence[Sequence[int]] | None = None,
) -> Sequences:
    """Encode, embed and join a batch; the inputs may belong to different tasks.

    Args:
        foundation: gives the embedding layer, tokenizer and type.
        encoders: give the modalities' tokens.
        tasks: the task of each input.
        inputs: the batch.
        answers: token ids appended to each sequence (training); none for prediction.
    """
    encoded = encoders.encode(inputs)
    beginning = foundation.beginning()
    rows = []
    for index, (task, one, tokens) in enumerate(zip(tasks, inputs, encoded, strict=True)):
        ids = foundation.tokenize(prompt_text(task, one)) + list(answers[index] if answers else ())
        # One look-up for all text tokens of the row; special beginning tokens go in front of the modalities.
        text = foundation.embed(beginning + ids)
        first, rest = text[: len(beginning)], text[len(beginning) :]
        rows.append(torch.cat([first, tokens.to(text.dtype), rest]))
    return _left_pad(rows)


def _left_pad(rows: Sequence[Tensor]) -> Sequences:
    longest = max(len(row) for row in rows)
    embeds = torch.stack([torch.cat([row.new_zeros(longest - len(row), row.shape[1]), row]) for row in rows])
    lengths = torch.tensor([len(row) for row in rows], device=embeds.device)
    mask = (torch.arange(longest, device=embeds.device)[None, :] >= longest - lengths[:, None]).long()
    return Sequences(embeds, mask, (mask.cumsum(dim=1) - 1).clamp(min=0))
