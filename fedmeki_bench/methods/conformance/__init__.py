"""The conformance suite: what every method must do, as ten named findings that say what to do about them.

Use it from the command line (`fedmeki-bench methods test PATH`) or from pytest:

    @pytest.mark.parametrize("check", CHECKS)
    def test_conformance(check: str) -> None:
        finding = run_check(check, lambda: MyMethod())
        assert finding.passed, finding.render()
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedmeki_bench.errors import UsageError, did_you_mean
from fedmeki_bench.methods.conformance import _checks as checks
from fedmeki_bench.methods.conformance._checks import Nonconformity
from fedmeki_bench.methods.conformance._world import Factory

__all__ = ["CHECKS", "Factory", "Finding", "run_check", "run_conformance"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        name: of the check.
        passed: whether the method does what it must.
        message: what was seen, in one sentence.
        fix: what to do; empty if it passed.
    """

    name: str
    passed: bool
    message: str
    fix: str = ""

    def render(self) -> str:
        """One or two lines: verdict, name, what was seen, and what to do."""
        line = f"{'passed' if self.passed else 'FAILED'}  {self.name}: {self.message}"
        return line if self.passed else f"{line}\n        to do: {self.fix}"


_SUITE: Mapping[str, tuple[Callable[[Factory], str], str]] = {
    "contract": (
        checks.check_contract,
        "return what fedmeki_bench.methods.Method documents; give every option of config_schema a default and set "
        "additionalProperties to false",
    ),
    "determinism": (
        checks.check_determinism,
        "derive every random choice from context.seed; wrap layers that draw from torch's global generator in "
        "fedmeki_bench.methods.optimisation.seeded(device, seed, 'what for')",
    ),
    "state": (
        checks.check_state,
        "put everything that answers depend on into state_dict(), as copies (detach().cpu().clone()) of tensors, "
        "numbers, strings and containers of them, and take all of it over in load_state_dict()",
    ),
    "resume": (
        checks.check_resume,
        "save the optimiser, its schedule and counters too; let round_index, not the number of calls, decide what "
        "differs between rounds",
    ),
    "frozen model": (
        checks.check_frozen_model,
        "train only parameters of your own; leave requires_grad of the model's at False, and take adapters off again "
        "in close()",
    ),
    "no zero-shot data": (
        checks.check_no_zero_shot_data,
        "before predict(), use only context.tasks and the public examples; keep nothing from an unseen task",
    ),
    "no test labels": (
        checks.check_no_test_labels,
        "answer from Inputs alone (id, modalities, question), in evaluation mode, without updating anything",
    ),
    "batch invariance": (
        checks.check_batch_invariance,
        "mask padding in attention and positions, keep batch statistics out of prediction (eval mode), answer each "
        "input as if it were alone",
    ),
    "client isolation": (
        checks.check_client_isolation,
        "load knowledge with load_state_dict() or clone it; return clones from encoders()",
    ),
    "peak memory": (
        checks.check_peak_memory,
        "work through examples in micro-batches of context.training.micro_batch_size and inputs in batches of "
        "context.prediction_batch_size; keep no graph, feature or cache of them all",
    ),
}

CHECKS: Sequence[str] = tuple(_SUITE)
"""Names of the ten checks, in the order in which a method is best mended."""


def run_check(name: str, factory: Factory) -> Finding:
    """Run one check; whatever the method raises becomes a finding, never a traceback.

    Args:
        name: one of `CHECKS`.
        factory: gives a new instance of the method, always with the same options.

    Raises:
        UsageError: no such check.
    """
    if name not in _SUITE:
        raise UsageError(f"unknown check {name!r}", fix=did_you_mean(name, CHECKS))
    check, fix = _SUITE[name]
    try:
        return Finding(name, True, check(factory))
    except Nonconformity as error:
        return Finding(name, False, str(error), fix)
    # A plug-in is foreign code and may fail in any way: the author is told where, in one sentence.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return Finding(name, False, f"{type(error).__name__}{_place(error)}: {_first_line(error)}", fix)


def run_conformance(factory: Factory, names: Sequence[str] = CHECKS) -> Iterator[Finding]:
    """Run checks one after the other, yielding each finding as it is made (the whole suite takes about a minute)."""
    for name in names:
        yield run_check(name, factory)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "") or "no message"


def _place(error: BaseException) -> str:
    """The last line of the method's own code that was running, as ` in method.py, line 12`."""
    own = Path(__file__).parent
    packages = Path(__file__).parents[2]
    frames = traceback.extract_tb(error.__traceback__)
    outside = [
        frame
        for frame in frames
        if own not in Path(frame.filename).parents
        and "site-packages" not in Path(frame.filename).parts
        and (packages not in Path(frame.filename).parents or "baselines" in Path(frame.filename).parts)
    ]
    chosen = (outside or frames)[-1:]
    return "".join(f" in {Path(frame.filename).name}, line {frame.lineno}, {frame.name}()" for frame in chosen)
