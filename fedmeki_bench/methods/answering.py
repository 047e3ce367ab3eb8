"""Answers from the foundation model: the likelihood of two fixed answers, or greedy decoding.

Both are deterministic, and an input's answer does not depend on its batch mates. Batches are formed by length and
halved when memory runs out; neither changes an answer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch import Tensor

from fedmeki_bench.data import Inputs
from fedmeki_bench.errors import BenchError
from fedmeki_bench.methods.alignment import Sequences, answer_ids, length_key, prompt_text
from fedmeki_bench.methods.api import Answer, MethodContext
from fedmeki_bench.methods.processes import current_processes
from fedmeki_bench.modeling.foundation import FoundationModel
from fedmeki_bench.specs import TaskSpec

__all__ = ["FIRST_BATCH", "answer_by_generation", "answer_by_likelihood", "in_batches"]

YES_NO_TOKENS = 8
"""Longest generated answer of a yes/no task, in tokens."""

FIRST_BATCH, LARGEST_BATCH = 8, 128
"""Inputs answered at once where the size is found: at first, and at most."""


def in_batches(
    inputs: Sequence[Inputs], context: MethodContext, answer: Callable[[Sequence[Inputs]], list[Answer]]
) -> list[Answer]:
    """Answer all inputs, longest first, in batches of a size that memory allows.

    The size is the context's `prediction_batch_size`, or is found: on a GPU it doubles from batch to batch, up to a
    largest one; on a CPU, where a process that takes too much memory is ended and not told, it stays at the first.
    When memory runs out, it is halved and stays there. Longest first: a size that is too large fails at once, not at
    the end.

    Where several processes run together, each answers its share of the inputs and all get all answers. If they share a
    sharded model, their batches have one size and number, so that memory running out is an error.

    Raises:
        BenchError: that error; another size continues the run.
    """
    processes = current_processes()
    order = sorted(range(len(inputs)), key=lambda row: length_key(inputs[row]), reverse=True)
    mine = processes.share(order)
    collective = context.foundation_model is not None and context.foundation_model.collective
    size = context.prediction_batch_size or FIRST_BATCH
    grows = context.prediction_batch_size is None and context.device.type == "cuda" and not collective
    answers: dict[int, Answer] = {}
    start = 0
    while start < len(mine):
        rows = mine[start : start + size]
        found = None
        try:
            found = answer([inputs[row] for row in rows])
        except RuntimeError as error:
            if size == 1 or not should_reduce_batch_size(error):
                raise
            if collective:
                raise BenchError(
                    "memory ran out while the processes answered together",
                    where=f"process {processes.rank}",
                    found=f"batches of {size}, which one process cannot make smaller alone",
                    fix=f"continue the run with --prediction-batch-size {size // 2}: it changes no answer",
                ) from error
        if found is None:
            # Only here, outside the handler, does nothing hold on to the failed batch's tensors any more.
            clear_device_cache(garbage_collection=True)
            size, grows = size // 2, False
            continue
        answers.update(zip(rows, found, strict=True))
        start += len(rows)
        context.progress("answering", start, len(mine), None)
        if grows:
            size = min(2 * size, LARGEST_BATCH)
    if collective:
        missing = math.ceil(processes.turns(len(order)) / size) - math.ceil(len(mine) / size)
        for _ in range(missing):
            # Others have one batch more, and cannot pass it through the model alone.
            answer([inputs[row] for row in order[:1]])
    answers = dict(processes.gather(list(answers.items())))
    return [answers[row] for row in range(len(inputs))]


@torch.inference_mode()
def answer_by_likelihood(
    model: Any, foundation: FoundationModel, task: TaskSpec, batch: Sequence[Inputs], sequences: Sequences
) -> list[Answer]:
    """The likelier of a yes/no task's two answers, with the positive one's share of their probability as score.

    One forward pass where each answer is one token; both share the pass over the prompt in any case. A tie, which
    real-valued likelihoods all but exclude, is answered with the negative answer.
    """
    positive, negative = task.answer.positive, task.answer.negative
    assert positive is not None and negative is not None
    prompt = prompt_text(task, batch[0])
    candidates = [answer_ids(foundation, prompt, text) for text in (positive, negative)]
    likelihoods = _log_likelihoods(model, foundation, sequences, candidates)
    difference = likelihoods[0] - likelihoods[1]
    scores = torch.sigmoid(difference).tolist()
    return [
        Answer(positive if one > 0 else negative, round(score, 6))
        for one, score in zip(difference.tolist(), scores, strict=True)
    ]


def _log_likelihoods(
    model: Any, foundation: FoundationModel, sequences: Sequences, candidates: Sequence[Sequence[int]]
) -> list[Tensor]:
    longest = max(len(candidate) for candidate in candidates)
    out = model(
        inputs_embeds=sequences.embeds,
        attention_mask=sequences.mask,
        position_ids=sequences.positions,
        logits_to_keep=1,
        use_cache=longest > 1,
    )
    first = torch.log_softmax(out.logits[:, -1].double(), dim=-1)
    totals = []
    for candidate in candidates:
        total = first[:, candidate[0]]
        if len(candidate) > 1:
            total = total + _continuation(model, foundation, sequences, candidate, out.past_key_values)
        totals.append(total)
    return totals


def _continuation(
    model: Any, foundation: FoundationModel, sequences: Sequences, candidate: Sequence[int], cache: Any
) -> Tensor:
    rows, steps = len(sequences.embeds), len(candidate) - 1
    embeds = foundation.embed(candidate[:-1]).expand(rows, -1, -1)
    mask = torch.cat([sequences.mask, sequences.mask.new_ones(rows, steps)], dim=1)
    positions = sequences.positions[:, -1:] + 1 + torch.arange(steps, device=embeds.device)
    # The cache grows in place with every use, so each answer continues from its own copy of the prompt's.
    out = model(
        inputs_embeds=embeds,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=copy.deepcopy(cache),
    )
    log_probabilities = torch.log_softmax(out.logits.double(), dim=-1)
    return log_probabilities[:, torch.arange(steps), torch.tensor(candidate[1:])].sum(dim=1)


@torch.inference_mode()
def answer_by_generation(model: Any, foundation: FoundationModel, task: TaskSpec, sequences: Sequences) -> list[Answer]:
    """Greedy decoding, stopped at the end token or at the task's longest answer; text only, no score."""
    generated = model.generate(
        inputs_embeds=sequences.embeds,
        attention_mask=sequences.mask,
        max_new_tokens=task.answer.max_new_tokens or YES_NO_TOKENS,
        do_sample=False,
        num_beams=1,
        eos_token_id=foundation.end(),
        pad_token_id=foundation.tokenizer.pad_token_id,
        # One process's answers may end before another's; both must go on passing through a shared model.
        synced_gpus=foundation.collective,
    )
    texts = foundation.tokenizer.batch_decode(generated, skip_special_tokens=True)
    return [Answer(text.strip()) for text in texts]
