"""Yes/no metrics: equal to scikit-learn and to their definitions, and honest where they are not defined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics as reference

from fedmeki_bench.errors import BenchError, CheckFailed
from fedmeki_bench.metrics import (
    best_constant,
    item_statistics,
    metric_signature,
    parse_signature,
    reference_rows,
    score_task,
)

from .builders import rows, task

SPEC = task("sepsis_prediction")
WORDS = {True: "Yes", False: "No"}


def scores_of(truth, answers, scores=None):
    labels, predictions = rows(
        ["yes" if value else "no" for value in truth], [WORDS[value] for value in answers], scores=scores
    )
    result = score_task(SPEC, labels, predictions, bootstrap=0)
    return {name: score.value for name, score in result.scores.items()}, result


def test_golden_vector_agrees_with_scikit_learn():
    random = np.random.default_rng(7)
    truth = random.random(500) < 0.3
    probability = np.clip(0.3 * truth + 0.7 * random.random(500), 0, 1)
    answers = probability > 0.5
    found, _ = scores_of(truth, answers, probability.tolist())
    expected = {
        "accuracy": reference.accuracy_score(truth, answers),
        "precision": reference.precision_score(truth, answers),
        "recall": reference.recall_score(truth, answers),
        "f1": reference.f1_score(truth, answers),
        "balanced_accuracy": reference.balanced_accuracy_score(truth, answers),
        "mcc": reference.matthews_corrcoef(truth, answers),
        "auroc": reference.roc_auc_score(truth, probability),
        "auprc": reference.average_precision_score(truth, probability),
        "brier": reference.brier_score_loss(truth, probability),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_counts_metrics_equal_their_definitions(pairs):
    truth, answers = zip(*pairs, strict=True)
    found, result = scores_of(truth, answers)
    tp = sum(t and a for t, a in pairs)
    fp = sum(not t and a for t, a in pairs)
    fn = sum(t and not a for t, a in pairs)
    tn = len(pairs) - tp - fp - fn
    assert found["accuracy"] == pytest.approx((tp + tn) / len(pairs))
    assert found["precision"] == pytest.approx(tp / (tp + fp) if tp + fp else 0.0)
    if tp + fn:
        assert found["recall"] == pytest.approx(tp / (tp + fn))
        assert found["f1"] == pytest.approx(2 * tp / (2 * tp + fp + fn))
    else:
        assert {"recall", "f1"} <= result.undefined.keys()
    if tp + fn and tn + fp:
        assert found["balanced_accuracy"] == pytest.approx((tp / (tp + fn) + tn / (tn + fp)) / 2)
        product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        assert found["mcc"] == pytest.approx((tp * tn - fp * fn) / math.sqrt(product) if product else 0.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=25))
def test_rank_metrics_and_calibration_equal_brute_force(pairs):
    truth = [t for t, _ in pairs]
    scores = [k / 20 for _, k in pairs]
    assume(any(truth) and not all(truth))
    found, _ = scores_of(truth, truth, scores)
    wins = [
        1.0 if p > q else 0.5 if p == q else 0.0
        for t, p in zip(truth, scores, strict=True)
        if t
        for u, q in zip(truth, scores, strict=True)
        if not u
    ]
    assert found["auroc"] == pytest.approx(sum(wins) / len(wins))
    assert found["brier"] == pytest.approx(np.mean([(s - t) ** 2 for t, s in zip(truth, scores, strict=True)]))
    gap = 0.0
    for low in range(10):
        inside = [
            (t, s)
            for t, s in zip(truth, scores, strict=True)
            if low <= np.float64(s) * 10 < low + 1 or (low == 9 and s == 1.0)
        ]
        gap += abs(sum(t - s for t, s in inside)) / len(pairs)
    assert found["ece"] == pytest.approx(gap, abs=1e-9)


def test_unreadable_answer_is_wrong_and_leaves_the_truth_alone():
    labels, predictions = rows(["yes", "no", "yes", "no"], ["Yes", "No", "none of these", ""])
    result = score_task(SPEC, labels, predictions, bootstrap=0)
    assert result.parse_rate == 0.5
    assert {name: result.scores[name].value for name in ("accuracy", "recall", "precision")} == {
        "accuracy": 0.5,
        "recall": 0.5,
        "precision": 0.5,
    }
    stats = item_statistics(SPEC, labels, predictions)
    assert stats.y_true is not None and stats.y_true.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    ("target", "missing"),
    [("yes", {"auroc", "mcc", "balanced_accuracy"}), ("no", {"auroc", "auprc", "recall", "f1"})],
)
def test_one_class_leaves_metrics_out_with_a_reason(target, missing):
    labels, predictions = rows([target] * 3, ["Yes", "No", "Yes"], scores=[0.9, 0.2, 0.8])
    result = score_task(SPEC, labels, predictions, bootstrap=0)
    assert missing <= result.undefined.keys()
    assert not result.undefined.keys() & result.scores.keys()
    assert all(math.isfinite(score.value) for score in result.scores.values())


def test_option_scores_of_some_items_only_give_no_probability_metric():
    labels, predictions = rows(["yes", "no"], ["Yes", "No"], scores=[0.9, None])
    result = score_task(SPEC, labels, predictions, bootstrap=0)
    assert result.undefined["auroc"] == "1 of 2 items have no score"


def test_missing_predictions_are_refused_unless_partial():
    labels, predictions = rows(["yes", "no", "no"], ["Yes", "No", "No"])
    with pytest.raises(CheckFailed, match="1 of 3 items"):
        score_task(SPEC, labels, predictions[:2], bootstrap=0)
    result = score_task(SPEC, labels, predictions[:2], bootstrap=0, partial=True)
    assert (result.partial, result.n, result.expected) == (True, 2, 3)


def test_predictions_of_other_items_are_refused():
    labels, predictions = rows(["yes", "no"], ["Yes", "No"])
    with pytest.raises(BenchError, match="do not belong"):
        item_statistics(SPEC, labels[:1], predictions)
    with pytest.raises(BenchError, match="do not belong"):
        item_statistics(SPEC, labels, [predictions[0], predictions[0]])


def test_labels_of_another_kind_of_task_and_scores_that_are_no_probabilities_are_refused():
    with pytest.raises(BenchError, match="these are not its labels"):
        item_statistics(SPEC, *rows(["left lung"], ["Yes"]))
    for value in (1.5, -0.1, math.nan):
        with pytest.raises(BenchError, match="no probabilities"):
            item_statistics(SPEC, *rows(["yes"], ["Yes"], scores=[value]))


def test_order_of_predictions_does_not_matter():
    labels, predictions = rows(["yes", "no", "no", "yes"], ["Yes", "Yes", "No", ""], scores=[0.9, 0.6, 0.1, 0.5])
    assert score_task(SPEC, labels, predictions, bootstrap=50) == score_task(
        SPEC, labels, predictions[::-1], bootstrap=50
    )


def test_reference_rows_are_what_constant_answers_score():
    labels, _ = rows(["yes"] * 29 + ["no"] * 971, [""] * 1000)
    found = reference_rows(SPEC, labels)
    assert found["majority"]["accuracy"].value == pytest.approx(0.971)
    assert found["always-yes"]["recall"].value == 1.0
    assert best_constant(found, "accuracy") == ("majority", pytest.approx(0.971))
    assert best_constant(found, "f1") == ("always-yes", pytest.approx(2 * 29 / 1029))


def test_probability_metrics_have_their_best_constant_too():
    labels, _ = rows(["yes"] * 3 + ["no"] * 7, [""] * 10)
    found = reference_rows(SPEC, labels)
    assert best_constant(found, "auroc") == ("majority", 0.5)
    assert best_constant(found, "auprc") == ("majority", pytest.approx(0.3))
    assert best_constant(found, "brier") == ("random at prevalence", pytest.approx(0.21))


def test_random_row_is_the_mean_of_many_random_answers():
    random = np.random.default_rng(3)
    truth = np.arange(40) < 12
    labels, _ = rows(["yes" if value else "no" for value in truth], [""] * 40)
    expected = reference_rows(SPEC, labels)["random at prevalence"]
    draws = random.random((20_000, 40)) < truth.mean()
    tp, answered = (draws & truth).sum(1), draws.sum(1)
    values = {
        "accuracy": (draws == truth).mean(1),
        "precision": tp / np.maximum(answered, 1),
        "recall": tp / truth.sum(),
        "f1": 2 * tp / (answered + truth.sum()),
    }
    for name, sample in values.items():
        assert expected[name].value == pytest.approx(sample.mean(), abs=4 * sample.std() / math.sqrt(20_000)), name


def test_signature_tells_scorings_apart():
    strict, legacy = metric_signature("f1", "yes_no"), metric_signature("f1", "yes_no", "legacy")
    assert strict != legacy
    assert parse_signature(strict)["unreadable"] == "wrong"
    assert parse_signature(strict)["zero"] == "0"
    assert parse_signature(legacy)["quirks"] == "all"
