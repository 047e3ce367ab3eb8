"""The release's scoring: reproduced to the digit, every quirk a switch that undoes itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmeki_bench.files import read_json
from fedmeki_bench.metrics import LegacyQuirks, check_meteor_resources, read_released, score_task
from fedmeki_bench.metrics.quirks import quirk_report
from fedmeki_bench.metrics.released_table import LOGS_BY_TASK, released_rows, render, stored_metrics
from fedmeki_bench.specs import load_tasks

from .builders import rows, task

YES_NO, TEXT = task("ectopic_beats_detection"), task("medvqa_slake")
TABLE = Path(__file__).parents[2] / "leaderboard" / "released" / "released.json"
NO_QUIRK = LegacyQuirks(**dict.fromkeys(LegacyQuirks.names(), False))


def legacy(spec, targets, answers, quirks=None):
    labels, predictions = rows(targets, answers)
    result = score_task(spec, labels, predictions, scoring="legacy", bootstrap=0, quirks=quirks)
    return {name: score.value for name, score in result.scores.items()}


@pytest.mark.realdata
@pytest.mark.parametrize("name", sorted(LOGS_BY_TASK))
def test_stored_metrics_of_the_released_logs_are_reproduced(realdata, name):
    folder, spec = realdata / "fedmeki-eval-items", load_tasks()[name]
    stored = stored_metrics(folder / "all_runs_metrics.csv")[LOGS_BY_TASK[name]]
    labels, predictions = read_released(folder / LOGS_BY_TASK[name], spec)
    scores = score_task(spec, labels, predictions, scoring="legacy", bootstrap=0).scores
    found = {metric: scores[metric].value for metric in stored}
    assert len(stored) in (3, 5)
    for metric, value in stored.items():
        if metric == "meteor" and check_meteor_resources().version != "3.0":
            continue
        # The garbled answers of the SLAKE log depend on the sentence splitter.
        tolerance = 1e-4 if (name, metric) == ("medvqa_slake", "meteor") else 1e-6
        assert found[metric] == pytest.approx(value, abs=tolerance), metric


@pytest.mark.parametrize("word", ["none", "normal", "diagnosis"])
def test_substring_count_reads_no_in_other_words(word):
    assert legacy(YES_NO, ["no", "yes"], [word, "yes"])["accuracy"] == 1.0
    without = LegacyQuirks().without("substring_count").without("unreadable_rewrites_truth")
    assert legacy(YES_NO, ["no", "yes"], [word, "yes"], without)["accuracy"] == 0.5


def test_ties_are_yes():
    assert legacy(YES_NO, ["yes", "no"], ["yes and no", "no"])["accuracy"] == 1.0
    without = LegacyQuirks().without("ties_are_yes")
    assert legacy(YES_NO, ["yes", "no"], ["yes and no", "no"], without)["accuracy"] == 0.5


def test_unreadable_answer_rewrites_the_truth():
    # Two positives of which one answer is empty: the release counts one positive, and finds it.
    assert legacy(YES_NO, ["yes", "yes", "no"], ["yes", "", "no"])["recall"] == 1.0
    without = LegacyQuirks().without("unreadable_rewrites_truth")
    assert legacy(YES_NO, ["yes", "yes", "no"], ["yes", "", "no"], without)["recall"] == 0.5


def test_meteor_skips_empty_answers():
    full = legacy(TEXT, ["left lung", "ct"], ["left lung", ""])["meteor"]
    assert legacy(TEXT, ["left lung", "ct"], ["left lung", ""], LegacyQuirks().without("meteor_skips_empty"))[
        "meteor"
    ] == pytest.approx(full / 2)


def test_meteor_of_nothing_but_empty_answers_is_undefined():
    labels, predictions = rows(["ct"], [""])
    result = score_task(TEXT, labels, predictions, scoring="legacy", bootstrap=0)
    assert "meteor" in result.undefined and "meteor" not in result.scores


def test_last_marker_takes_the_last_of_several_answers():
    answers = ["Answer: CT\nAnswer: MRI"]
    assert legacy(TEXT, ["MRI"], answers)["rouge1"] == 1.0
    assert legacy(TEXT, ["MRI"], answers, LegacyQuirks().without("last_marker"))["rouge1"] == 0.0


def test_whitespace_tokens_hide_a_right_answer_with_a_full_stop():
    assert legacy(TEXT, ["ct"], ["CT ."])["bleu"] == legacy(TEXT, ["ct"], ["CT x"])["bleu"]
    assert legacy(TEXT, ["ct"], ["CT."])["bleu"] == 0.0
    assert legacy(TEXT, ["ct"], ["CT."], LegacyQuirks().without("whitespace_tokens"))["bleu"] > 0


def test_latin_words_only_scores_a_right_chinese_answer_zero():
    assert legacy(TEXT, ["心脏"], ["心脏"])["rouge1"] == 0.0
    assert legacy(TEXT, ["心脏"], ["心脏"], LegacyQuirks().without("latin_words_only"))["rouge1"] == 1.0


ANSWERS = st.sampled_from(
    [
        "Yes",
        "No",
        "",
        "none",
        "yes and no",
        "normal",
        "Answer: yes\nAnswer: no",
        "no no yes",
        "dunno",
        "CT.",
        "心脏",
        "Answer: 心脏",
    ]
)


@given(st.lists(st.tuples(st.sampled_from(["yes", "no"]), ANSWERS), min_size=1, max_size=12))
def test_yes_no_without_any_quirk_is_the_strict_scoring(pairs):
    labels, predictions = rows([target for target, _ in pairs], [answer for _, answer in pairs])
    strict = score_task(YES_NO, labels, predictions, bootstrap=0)
    bare = score_task(YES_NO, labels, predictions, scoring="legacy", bootstrap=0, quirks=NO_QUIRK)
    assert {k: v.value for k, v in bare.scores.items()} == {k: v.value for k, v in strict.scores.items()}


@given(st.lists(st.tuples(st.sampled_from(["yes", "心脏", "CT", "left lung"]), ANSWERS), min_size=1, max_size=8))
def test_text_without_any_quirk_is_the_strict_scoring(pairs):
    labels, predictions = rows([target for target, _ in pairs], [answer for _, answer in pairs])
    strict = score_task(TEXT, labels, predictions, bootstrap=0)
    bare = score_task(TEXT, labels, predictions, scoring="legacy", bootstrap=0, quirks=NO_QUIRK)
    for name, score in bare.scores.items():
        assert score.value == pytest.approx(strict.scores[name].value, abs=1e-12)


def test_quirk_report_names_the_rules_that_move_a_number():
    labels, predictions = rows(["yes", "yes", "no", "no"], ["yes", "", "none", "no"])
    report = quirk_report(YES_NO, labels, predictions)
    assert set(report.effects) == {"substring_count", "unreadable_rewrites_truth"}
    assert next(iter(report.moved_by("recall"))) == "unreadable_rewrites_truth"
    assert report.strict.parse_rate == 0.5


def test_legacy_signature_names_the_switches_that_are_off():
    labels, predictions = rows(["yes"], ["yes"])
    quirks = LegacyQuirks().without("ties_are_yes")
    scores = score_task(YES_NO, labels, predictions, scoring="legacy", bootstrap=0, quirks=quirks).scores
    assert "quirks:all-ties_are_yes" in scores["accuracy"].signature


@pytest.mark.realdata
def test_released_table_shows_every_metric_of_a_log(realdata):
    spec = task("atelectasis_detection")
    found = released_rows(realdata / "fedmeki-eval-items" / LOGS_BY_TASK[spec.id], spec, {}, bootstrap=50)
    assert [row.metric for row in found] == ["accuracy", "precision", "recall", "f1", "mcc"]
    text = render(found, load_tasks())
    assert "unreadable_rewrites_truth" in text and text.count("\n| AD ") == 5


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["atelectasis_detection", "pleural_effusion_detection", "medvqa_rad"])
def test_committed_table_is_what_the_code_computes(realdata, name):
    committed = {(row["task"], row["metric"]): row for row in read_json(TABLE)}
    for row in released_rows(realdata / "fedmeki-eval-items" / LOGS_BY_TASK[name], load_tasks()[name], {}, bootstrap=0):
        if row.metric == "meteor" and check_meteor_resources().version != "3.0":
            continue
        stands = committed[name, row.metric]
        for field in ("legacy", "strict", "parse_rate", "best_constant", "n"):
            assert stands[field] == pytest.approx(getattr(row, field), abs=1e-9), (row.metric, field)
        assert stands["quirks"] == pytest.approx(dict(row.quirks), abs=1e-9)


@pytest.mark.realdata
def test_chexpert_log_is_grouped_by_patient(realdata):
    spec = task("atelectasis_detection")
    labels, _ = read_released(realdata / "fedmeki-eval-items" / LOGS_BY_TASK[spec.id], spec)
    assert len({label.group for label in labels}) < len(labels)
