"""Text metrics: equal to nltk, rouge-score and sacrebleu where those are defined, and to brute force."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.bleu_score import sentence_bleu
from nltk.translate.meteor_score import meteor_score
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU

from fedmeki_bench.errors import BenchError
from fedmeki_bench.metrics import (
    best_constant,
    check_meteor_resources,
    item_statistics,
    parse_signature,
    reference_rows,
    score_task,
)
from fedmeki_bench.metrics.generation import bleu_scores, exact_match, rouge_scores, token_f1, tokenise
from fedmeki_bench.metrics.meteor import meteor

from .builders import rows, task

SPEC = task("medvqa_rad")
PAIRS = [
    ("left lung", "left lung"),
    ("the left lower lobe of the lung", "left lower lobe"),
    ("yes", "no"),
    ("axial", "Axial."),
    (
        "a chest x-ray with pleural effusion on both sides",
        "chest x-ray , effusion on the left side and both lungs",
    ),
    ("baseline drift, static noise", "static noise"),
    ("lead I, lead II, lead III, lead aVR", "lead I, lead II, lead V1, lead aVR, lead aVR"),
]
WORDS = st.lists(
    st.sampled_from(["left", "right", "lung", "lobe", "the", "of", "a", "is"]), min_size=1, max_size=8
).map(" ".join)


@pytest.mark.parametrize(("reference", "answer"), PAIRS)
def test_bleu_1_agrees_with_nltk(reference, answer):
    expected = sentence_bleu([tokenise(reference)], tokenise(answer), weights=(1.0,))
    assert bleu_scores(tokenise(reference), tokenise(answer))["bleu"] == pytest.approx(expected, abs=1e-12)


@given(WORDS, WORDS)
def test_bleu_agrees_with_sacrebleu(reference, answer):
    found = bleu_scores(tokenise(reference), tokenise(answer))
    for order, name in enumerate(("bleu", "bleu2", "bleu3", "bleu4"), start=1):
        judge = BLEU(max_ngram_order=order, tokenize="none", smooth_method="exp", effective_order=True)
        assert found[name] == pytest.approx(judge.sentence_score(answer, [reference]).score / 100, abs=1e-12)


@pytest.mark.parametrize(("reference", "answer"), PAIRS)
def test_rouge_agrees_with_rouge_score(reference, answer):
    expected = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True).score(reference, answer)
    found = rouge_scores(reference, answer)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value.fmeasure, abs=1e-12)


@pytest.mark.parametrize(("reference", "answer"), PAIRS)
def test_meteor_agrees_with_nltk(reference, answer):
    words, found = tokenise(reference), tokenise(answer)
    expected = meteor_score([words], found, wordnet=check_meteor_resources().wordnet)
    assert meteor(words, found) == pytest.approx(expected, abs=1e-12)


@given(WORDS, WORDS)
def test_token_f1_equals_brute_force(reference, answer):
    def words(text):
        return [word for word in text.split() if word not in ("a", "the")]

    left, right = words(reference), words(answer)
    common = sum(min(left.count(word), right.count(word)) for word in set(left))
    expected = 2 * common / (len(left) + len(right)) if common else 0.0
    assert token_f1(reference, answer) == pytest.approx(expected)
    assert exact_match(reference, answer) == float(left == right and (bool(left) or reference == answer))


@pytest.mark.parametrize("answer", ["心脏", "左肺", "x 光"])
def test_right_answer_in_chinese_scores_one(answer):
    values = {**bleu_scores(tokenise(answer), tokenise(answer)), "em": exact_match(answer, answer)}
    values |= {"rouge1": rouge_scores(answer, answer)["rouge1"], "f1": token_f1(answer, answer)}
    assert set(values.values()) == {1.0}


def test_scores_are_means_over_items_and_unreadable_answers_count_zero():
    labels, predictions = rows(["left lung", "axial", "yes"], ["left lung", "", "Answer: yes\nAnswer: no"])
    result = score_task(SPEC, labels, predictions, bootstrap=0)
    assert result.parse_rate == pytest.approx(1 / 3)
    for name in ("bleu", "bleu4", "rouge1", "exact_match", "token_f1"):
        assert result.scores[name].value == pytest.approx(1 / 3), name


def test_closed_and_open_questions_are_scored_apart():
    labels, predictions = rows(["yes", "no", "left lung"], ["yes", "yes", "left"], types=["closed", "closed", "open"])
    scores = score_task(SPEC, labels, predictions, bootstrap=0).scores
    assert scores["exact_match_closed"].value == 0.5
    assert scores["exact_match_open"].value == 0.0
    assert scores["token_f1_open"].value == pytest.approx(2 / 3)
    assert parse_signature(scores["bleu_open"].signature)["questions"] == "open"


def test_question_types_that_do_not_occur_are_named_not_zero():
    labels, predictions = rows(["yes"], ["yes"], types=["closed"])
    result = score_task(SPEC, labels, predictions, bootstrap=0)
    assert "exact_match_open" not in result.scores
    assert result.undefined["exact_match_open"] == "no open question among the items"


def test_metrics_can_be_left_out():
    labels, predictions = rows(["yes"], ["yes"])
    stats = item_statistics(SPEC, labels, predictions, metrics=["bleu", "rouge1"])
    assert set(stats.text) == {"bleu", "rouge1"}


def test_meteor_signature_says_which_wordnet_was_used():
    labels, predictions = rows(["yes"], ["yes"])
    signature = score_task(SPEC, labels, predictions, bootstrap=0).scores["meteor"].signature
    assert parse_signature(signature)["wordnet"] == check_meteor_resources().version


def test_meteor_without_wordnet_matches_words_and_stems_and_says_so(monkeypatch, tmp_path):
    import nltk.data

    from fedmeki_bench.metrics import meteor as module

    monkeypatch.setattr(module, "_DEBIAN_FOLDER", tmp_path)
    monkeypatch.setattr(nltk.data, "path", [])
    check_meteor_resources.cache_clear()
    try:
        assert check_meteor_resources().version == "none"
        assert module.meteor(["lungs"], ["lung"]) > 0
        assert module.meteor(["ill"], ["sick"]) == 0
    finally:
        check_meteor_resources.cache_clear()


@pytest.mark.parametrize("packed", [pytest.param(True, marks=pytest.mark.slow), False])
def test_wordnet_of_nltk_itself_is_used_even_zipped_and_a_damaged_one_is_named(monkeypatch, tmp_path, packed):
    import shutil

    import nltk.data

    if check_meteor_resources().version == "none":
        pytest.skip("no WordNet here (Debian: wordnet-base and wordnet-sense-index)")
    corpora = tmp_path / "corpora"
    if packed:
        corpora.mkdir()
        source = Path(check_meteor_resources().place)
        shutil.make_archive(str(corpora / "wordnet"), "zip", source.parent, source.name)
    else:
        (corpora / "wordnet").mkdir(parents=True)
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    check_meteor_resources.cache_clear()
    try:
        if packed:
            assert "wordnet.zip" in check_meteor_resources().place
        else:
            with pytest.raises(BenchError, match="WordNet cannot be read"):
                check_meteor_resources()
    finally:
        check_meteor_resources.cache_clear()


def test_synonyms_count_where_wordnet_is_installed():
    if check_meteor_resources().version == "none":
        pytest.skip("no WordNet here (Debian: wordnet-base and wordnet-sense-index)")
    assert meteor(["ill"], ["sick"]) > 0


def test_majority_does_not_mind_how_an_answer_is_spelt():
    labels, _ = rows(["ct", "ct", "Yes", "yes", "Yes."], [""] * 5)
    found = reference_rows(SPEC, labels)
    assert found["majority"]["exact_match"].value == pytest.approx(3 / 5)
    assert found["random at prevalence"]["exact_match"].value == pytest.approx(0.4**2 + 0.6**2)


def test_answer_prior_is_the_most_frequent_answer_of_each_question_type():
    labels, _ = rows(["no", "no", "yes", "axial", "axial", "ct"], [""] * 6, types=["closed"] * 3 + ["open"] * 3)
    found = reference_rows(SPEC, labels)
    assert found["answer-prior"]["exact_match"].value == pytest.approx(4 / 6)
    assert found["majority"]["exact_match"].value == pytest.approx(2 / 6)
    shares = [count / 6 for count in Counter(["no", "no", "yes", "axial", "axial", "ct"]).values()]
    assert found["random at prevalence"]["exact_match"].value == pytest.approx(sum(p * p for p in shares))
    assert best_constant(found, "exact_match") == ("answer-prior", pytest.approx(4 / 6))
