"""The result record: a valid one passes, and every fault of a bad one is named at once."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from fedmeki_bench.errors import FaultsError
from fedmeki_bench.specs._result import result_faults, validate_result
from tests.builders import make_evaluation, make_result, make_score


def fields(result: Any) -> set[str]:
    return {fault.field for fault in result_faults(result, "result.json")}


def test_a_built_result_is_valid_and_survives_json() -> None:
    assert not fields(json.loads(json.dumps(make_result())))


def test_a_result_without_any_evaluation_is_valid() -> None:
    assert not fields(make_result(evaluations=[], missing_tasks={"covid_detection": "no data"}))


def test_a_run_without_a_foundation_model_is_valid() -> None:
    assert not fields(make_result("majority", foundation_model=None, trainings=[]))


def test_every_fault_is_reported_at_once() -> None:
    result = make_result(seed=-1, profil="mini")
    del result["cost"]
    assert fields(result) == {"seed", "profil", "cost"}


def test_an_unknown_field_gets_a_suggestion() -> None:
    with pytest.raises(FaultsError, match="did you mean profile"):
        validate_result(make_result(profil="mini"), "result.json")


@pytest.mark.parametrize("version", [2, 0, "1", None, True])
def test_another_schema_version_is_one_clear_fault(version: object) -> None:
    assert fields(make_result(schema_version=version)) == {"schema_version"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1.5, -0.1, "0.9", True])
def test_a_score_outside_zero_to_one_is_refused(value: Any) -> None:
    evaluation = make_evaluation("multi_task", "covid_detection")
    evaluation["scores"]["accuracy"]["value"] = value
    assert "evaluations.0.scores.accuracy.value" in fields(make_result(evaluations=[evaluation]))


def test_mcc_may_be_negative_and_nothing_else() -> None:
    evaluation = make_evaluation("multi_task", "covid_detection", {"mcc": -0.2})
    assert fields(make_result(evaluations=[evaluation])) == set()


def test_an_undefined_metric_is_null_without_an_interval() -> None:
    evaluation = make_evaluation("multi_task", "covid_detection", {"auroc": None})
    assert fields(make_result(evaluations=[evaluation])) == set()


@pytest.mark.parametrize("low,high", [(0.99, 0.95), (None, 0.99)])
def test_an_interval_has_two_ends_in_order(low: float | None, high: float) -> None:
    evaluation = make_evaluation("multi_task", "covid_detection")
    evaluation["scores"]["accuracy"] = {**make_score("accuracy", 0.9), "low": low, "high": high}
    assert fields(make_result(evaluations=[evaluation])) == {"evaluations.0.scores.accuracy"}


def test_an_evaluation_refers_to_listed_tasks_protocols_and_trainings() -> None:
    result = make_result()
    result["evaluations"][0] |= {"task": "mystery", "protocol": "single_task"}
    assert fields(result) == {"evaluations.0.task", "evaluations.0.protocol", "evaluations.0.training"}


def test_two_evaluations_of_one_task_under_one_protocol_are_refused() -> None:
    result = make_result()
    result["evaluations"].append(copy.deepcopy(result["evaluations"][0]))
    assert fields(result) == {"evaluations"}


def test_a_selected_round_was_trained() -> None:
    result = make_result()
    result["trainings"][0]["selected_round"] = 9
    assert fields(result) == {"trainings.0.selected_round"}


@pytest.mark.parametrize("path", ["/etc/x.jsonl", "a\\b.jsonl", "predictions/x.json"])
def test_predictions_are_a_path_inside_the_run(path: str) -> None:
    evaluation = make_evaluation("multi_task", "covid_detection", predictions=path)
    assert fields(make_result(evaluations=[evaluation])) == {"evaluations.0.predictions"}


@pytest.mark.parametrize("value", [None, [], "x"])
def test_something_else_than_an_object_is_refused(value: object) -> None:
    assert fields(value) == {""}
