"""The ten checks. Each returns one sentence on what was seen, or raises `Nonconformity` with one on what is wrong."""

from __future__ import annotations

import hashlib
import io
import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedmeki_bench.errors import FaultsError
from fedmeki_bench.files import content_hash
from fedmeki_bench.methods.api import Answer, InjectionReport
from fedmeki_bench.methods.conformance._memory import AllocationMeter
from fedmeki_bench.methods.conformance._watch import watching
from fedmeki_bench.methods.conformance._world import TRAINING, ZERO_SHOT, Factory, Session, World, snapshot

__all__ = [
    "Nonconformity",
    "check_batch_invariance",
    "check_client_isolation",
    "check_contract",
    "check_determinism",
    "check_frozen_model",
    "check_no_test_labels",
    "check_no_zero_shot_data",
    "check_peak_memory",
    "check_resume",
    "check_state",
]

SCORE_TOLERANCE = 1e-5
"""Scores of one input in batches of different sizes: matrix products add in another order, nothing else differs."""

LONG_STAY = 64
"""Hours of the longest stays in the memory check: activations then outweigh gradients and optimiser."""

GROWTH = 1.5
"""Four times the data may take at most this many times the memory."""


class Nonconformity(Exception):
    """The method does not do what every method must; the message says what was seen."""


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise Nonconformity(message)


def _first_difference(
    one: Mapping[str, Sequence[Answer]], other: Mapping[str, Sequence[Answer]], tolerance: float = 0.0
) -> str | None:
    """Where two sets of answers differ first, in words."""
    for task in one:
        for index, (a, b) in enumerate(zip(one[task], other[task], strict=True)):
            scores = (a.score, b.score)
            if a.text != b.text:
                return f"{task}, input {index}: {a.text[:40]!r} and {b.text[:40]!r}"
            if (a.score is None) != (b.score is None):
                return f"{task}, input {index}: score {scores[0]} and {scores[1]}"
            if a.score is not None and b.score is not None and abs(a.score - b.score) > tolerance:
                return f"{task}, input {index}: score {scores[0]!r} and {scores[1]!r}"
    return None


def _same_tensors(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str | None:
    """The first name under which two states differ."""
    for name in sorted(set(one) | set(other)):
        if name not in one or name not in other or not torch.equal(one[name], other[name]):
            return name
    return None


def check_contract(factory: Factory) -> str:
    """Options, reports, encoders and answers have the form the runner relies on."""
    method = factory()
    properties: Mapping[str, Mapping[str, Any]] = method.config_schema.get("properties", {})
    without = sorted(name for name in properties if name not in method.config)
    _require(not without, f"options without a default: {', '.join(without)}")
    content_hash(method.config)
    try:
        type(method)({**method.config, "no_such_option": 1})
    except FaultsError:
        pass
    else:
        raise Nonconformity("an option that does not exist is accepted in silence")
    session = Session(factory)
    for report in session.train(2):
        _check_report(report)
    _check_encoders(session)
    answers = session.answers()
    for task, given in answers.items():
        _check_answers(task, given, len(session.world.asked[task]))
    return f"{len(properties)} options, {sum(map(len, answers.values()))} answers to {len(answers)} tasks in order"


def _check_report(report: object) -> None:
    _require(isinstance(report, InjectionReport), f"inject returns {type(report).__name__}, not InjectionReport")
    assert isinstance(report, InjectionReport)
    _require(all(math.isfinite(loss) for loss in report.losses), "a training loss is not finite")
    counts = report.trainable_parameters
    _require(
        all(type(n) is int and n >= 0 for n in counts.values()),
        f"trainable_parameters are no counts: {counts}",
    )


def _check_encoders(session: Session) -> None:
    state = session.method.encoders()
    if not session.method.federated and not state:
        return
    expected = session.world.context.encoders.state_dict()
    _require(set(state) == set(expected), "encoders() does not have the names of Encoders.state_dict()")
    for name, value in state.items():
        _require(value.shape == expected[name].shape, f"encoders() changes the shape of {name}")
        _require(bool(torch.isfinite(value).all()), f"encoders() gives values of {name} that are not finite")


def _check_answers(task: str, answers: object, expected: int) -> None:
    _require(isinstance(answers, list), f"predict returns {type(answers).__name__}, not a list")
    assert isinstance(answers, list)
    _require(len(answers) == expected, f"{task}: {len(answers)} answers to {expected} inputs")
    for answer in answers:
        _require(isinstance(answer, Answer) and isinstance(answer.text, str), f"{task}: {answer!r} is no Answer")
        score = answer.score
        _require(score is None or 0.0 <= score <= 1.0, f"{task}: the score {score} is no probability")


def check_determinism(factory: Factory) -> str:
    """The same seed gives the same losses and answers, whatever the global random state was."""
    runs = []
    for disturbance in (1, 2):
        random.seed(disturbance)
        np.random.seed(disturbance)
        torch.manual_seed(disturbance)
        session = Session(factory)
        losses = [list(report.losses) for report in session.train(2)]
        runs.append((losses, session.answers()))
    _require(runs[0][0] == runs[1][0], "two runs with one seed have different training losses")
    difference = _first_difference(runs[0][1], runs[1][1])
    _require(difference is None, f"two runs with one seed answer differently: {difference}")
    return "two runs with one seed agree bit for bit"


def _saved(state: object) -> Any:
    """The state as a checkpoint gives it back."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    try:
        return torch.load(buffer, map_location="cpu", weights_only=True)
    # The state is a plug-in's own and may fail to load in any way; every way is the same finding.
    except Exception as error:
        line = str(error).strip().splitlines()[0]
        raise Nonconformity(f"state_dict() holds something a checkpoint cannot: {line}") from error


def check_state(factory: Factory) -> str:
    """A state saved and loaded into a new instance gives the same answers, and is a copy, not a view."""
    session = Session(factory)
    session.train(1)
    held = session.method.state_dict()
    state, before = _saved(held), session.answers()
    other = Session(factory)
    other.method.load_state_dict(state)
    difference = _first_difference(before, other.answers())
    _require(difference is None, f"a new instance with the loaded state answers differently: {difference}")
    session.train(1, start=1)
    third = Session(factory)
    third.method.load_state_dict(_saved(held))
    difference = _first_difference(before, third.answers())
    _require(difference is None, "a state taken earlier changes when training goes on")
    return "answers equal after saving and loading; the state is a copy"


def check_resume(factory: Factory) -> str:
    """Two rounds in one go end where one round, a checkpoint and another round do."""
    whole = Session(factory)
    whole.train(2)
    first = Session(factory)
    first.train(1)
    second = Session(factory)
    second.method.load_state_dict(_saved(first.method.state_dict()))
    second.train(1, start=1)
    name = _same_tensors(whole.method.encoders(), second.method.encoders())
    _require(name is None, f"after resuming, the encoders' {name} is another")
    difference = _first_difference(whole.answers(), second.answers())
    _require(difference is None, f"after resuming, answers differ: {difference}")
    return "a resumed run ends bit for bit where an uninterrupted one does"


def check_frozen_model(factory: Factory) -> str:
    """No weight of the foundation model changes, and `close` gives the model back as it was."""
    foundation = World.build(factory().uses_foundation_model, batch_size=4, times=1).foundation
    if foundation is None:
        return "the method uses no foundation model"
    model = foundation.model
    original = snapshot(model.state_dict())
    weights = [(name, value, value.detach().clone()) for name, value in model.named_parameters()]
    session = Session(factory, foundation=foundation)
    session.train(2)
    answers = session.answers()
    changed = [name for name, value, before in weights if not torch.equal(value, before)]
    _require(not changed, f"the foundation model's {', '.join(changed[:3])} changed in training or answering")
    session.close()
    name = _same_tensors(original, model.state_dict())
    _require(name is None, f"after close() the foundation model's {name} is not what it was")
    free = [name for name, value in model.named_parameters() if value.requires_grad]
    _require(not free, f"after close() the foundation model's {', '.join(free[:3])} requires a gradient")
    again = Session(factory, foundation=foundation)
    again.train(2)
    difference = _first_difference(answers, again.answers())
    _require(difference is None, f"a second training on the same model goes differently: {difference}")
    return f"{len(original)} tensors unchanged; a second training starts from the model as it was"


def check_no_zero_shot_data(factory: Factory) -> str:
    """Nothing of an unseen task is looked at before it is answered, and answering it teaches nothing."""
    with watching() as seen:
        session = Session(factory)
        session.train(2)
    _require(not seen, f"before any question was asked, {'; '.join(seen)}")
    before = session.answers(TRAINING)
    unseen = session.answers(ZERO_SHOT)
    difference = _first_difference(before, session.answers(TRAINING))
    _require(difference is None, f"answering unseen tasks changes answers to trained ones: {difference}")
    difference = _first_difference(unseen, session.answers(ZERO_SHOT[::-1]))
    _require(difference is None, f"answers to unseen tasks depend on the order of the tasks: {difference}")
    return "unseen tasks are unknown until asked, and leave no trace"


def check_no_test_labels(factory: Factory) -> str:
    """Answering looks at inputs only and changes nothing in the method."""
    session = Session(factory)
    session.train(1)
    before = _saved(session.method.state_dict())
    with watching() as seen:
        first = session.answers()
    _require(not seen, f"while answering, {'; '.join(seen)}")
    difference = _first_difference(first, session.answers())
    _require(difference is None, f"the same question twice gets two answers: {difference}")
    _require(
        _digest(before) == _digest(_saved(session.method.state_dict())),
        "answering changes the method's state",
    )
    return "answers follow from the inputs alone and leave the state as it was"


def _digest(value: Any) -> str:
    """A hash of nested containers of tensors and plain values."""
    if isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous().flatten()
        content = hashlib.sha256(flat.view(torch.uint8).numpy().tobytes()) if flat.numel() else hashlib.sha256()
        return content_hash([str(value.dtype), list(value.shape), content.hexdigest()])
    if isinstance(value, Mapping):
        return content_hash([[str(key), _digest(inner)] for key, inner in value.items()])
    if isinstance(value, list | tuple):
        return content_hash([_digest(inner) for inner in value])
    return content_hash(value if isinstance(value, str | int | float | bool) or value is None else repr(value))


def check_batch_invariance(factory: Factory) -> str:
    """An answer does not depend on the batch size, on the order, or on the other inputs."""
    answers = {}
    for size in (1, 3, 8):
        session = Session(factory, batch_size=size)
        session.train(1)
        answers[size] = session.answers()
    for size in (3, 8):
        difference = _first_difference(answers[1], answers[size], SCORE_TOLERANCE)
        _require(difference is None, f"batch sizes 1 and {size} answer differently: {difference}")
    for task, spec in session.world.specs.items():
        reverse = session.method.predict(spec, session.world.asked[task][::-1])[::-1]
        difference = _first_difference({task: answers[8][task]}, {task: reverse}, SCORE_TOLERANCE)
        _require(difference is None, f"inputs in reverse order are answered differently: {difference}")
    return f"batch sizes 1, 3 and 8 and the reverse order agree (scores to {SCORE_TOLERANCE:g})"


def check_client_isolation(factory: Factory) -> str:
    """What the clients sent is read, not changed or kept, and what goes back to them is a copy."""
    session = Session(factory)
    knowledge = session.knowledge(0)
    sent = snapshot(knowledge.state)
    session.method.inject(knowledge, session.world.public, 0)
    name = _same_tensors(sent, knowledge.state)
    _require(name is None, f"inject() changes what the clients sent: {name}")
    before = session.answers()
    for value in knowledge.state.values():
        value.zero_()
    difference = _first_difference(before, session.answers())
    _require(difference is None, "the method keeps the clients' own tensors instead of copies")
    for value in session.method.encoders().values():
        value.zero_()
    difference = _first_difference(before, session.answers())
    _require(difference is None, "encoders() gives away the method's own tensors instead of copies")
    return "clients' tensors are copied on the way in and on the way out"


def check_peak_memory(factory: Factory) -> str:
    """Memory follows the batch size, not the number of examples, and is given back."""
    peaks: dict[str, list[int]] = {"injection": [], "answering": []}
    # Generated text is left out: it costs much time here and nothing in memory that the prompts do not.
    tasks = (*TRAINING, ZERO_SHOT[0])
    for times in (1, 4):
        session = Session(factory, batch_size=2, times=times, hours=LONG_STAY)
        session.train(1)
        knowledge = session.knowledge(1)
        with AllocationMeter() as meter:
            session.method.inject(knowledge, session.world.public, 1)
        peaks["injection"].append(meter.peak)
        with AllocationMeter() as meter:
            session.answers(tasks)
        peaks["answering"].append(meter.peak)
        kept = meter.live
        with AllocationMeter() as meter:
            session.answers(tasks)
        # A cache that is filled once may stay; what grows with every call may not.
        _require(meter.live <= max(kept // 2, 2**20), f"every round of answers keeps {meter.live:,} bytes")
    for stage, (few, many) in peaks.items():
        told = f"{stage}: {few:,} bytes for few examples, {many:,} for four times as many"
        _require(many <= max(GROWTH * few, 2**20), told)
    return (
        f"peak {peaks['injection'][1] / 2**20:.1f} MiB in injection, {peaks['answering'][1] / 2**20:.1f} in answering"
    )
