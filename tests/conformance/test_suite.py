"""The conformance suite finds what it is there for, and says it in one sentence."""

from __future__ import annotations

import pytest

from fedmeki_bench.errors import UsageError
from fedmeki_bench.methods import Method, load_method
from fedmeki_bench.methods.conformance import CHECKS, run_check, run_conformance
from tests.conformance.defects import DEFECTS, Breaks

QUICK = ("majority", "always-yes", "linear_probe")
THOROUGH = ("fedplug", "fedplug_l", "ffa_lora", "fedkim", "fedkim_t", "fedkim_m", "fedkim_pub")


def test_there_are_ten_checks() -> None:
    assert len(CHECKS) == 10


HEAVY = {"TrainsOnAllExamplesAtOnce", "TakesAllInputsAtOnce"}
CASES = [
    pytest.param(check, method, id=method.__name__, marks=[pytest.mark.slow] if method.__name__ in HEAVY else [])
    for check, method in DEFECTS
]


@pytest.mark.parametrize("check,method", CASES)
def test_a_defect_is_found_by_its_check(check: str, method: type[Method]) -> None:
    finding = run_check(check, method)
    assert not finding.passed
    assert finding.fix
    assert "\n" not in finding.message and "Traceback" not in finding.message


def test_every_check_has_a_defect_it_finds() -> None:
    assert {check for check, _ in DEFECTS} == set(CHECKS)


def test_an_exception_becomes_one_sentence_with_its_place() -> None:
    finding = run_check("contract", Breaks)
    assert finding.message.startswith("TypeError in defects.py, line ")
    assert finding.message.endswith("inject(): unsupported operand")


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", QUICK)
def test_a_baseline_conforms(name: str, check: str) -> None:
    finding = run_check(check, lambda: load_method(name))
    assert finding.passed, finding.render()


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", THOROUGH)
def test_a_trained_baseline_conforms(name: str, check: str) -> None:
    finding = run_check(check, lambda: load_method(name))
    assert finding.passed, finding.render()


def test_findings_come_one_by_one_in_order() -> None:
    names = ["contract", "state"]
    findings = list(run_conformance(lambda: load_method("majority"), names))
    assert [finding.name for finding in findings] == names


def test_an_unknown_check_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="determinism"):
        run_check("determinsm", lambda: load_method("majority"))
