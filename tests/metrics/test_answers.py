"""Reading answers: the corpus is the rule, and nothing is ever guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmeki_bench.metrics import read_text, read_yes_no

CASES = [
    json.loads(line) for line in (Path(__file__).parent / "answers.jsonl").read_text(encoding="utf-8").splitlines()
]
READINGS = {"yes": True, "no": False, None: None}


def test_corpus_is_large_and_covers_every_kind_of_answer():
    assert len({case["answer"] for case in CASES}) == len(CASES) >= 300
    assert len({case["kind"] for case in CASES}) >= 12
    assert {case["reading"] for case in CASES} == set(READINGS)


@pytest.mark.parametrize("kind", sorted({case["kind"] for case in CASES}))
def test_corpus_is_read_as_written_down(kind):
    wrong = [
        (case["answer"], case["reading"])
        for case in CASES
        if case["kind"] == kind and read_yes_no(case["answer"]) is not READINGS[case["reading"]]
    ]
    assert wrong == []


@given(st.text())
def test_any_text_is_read_without_an_error_and_the_same_way_twice(answer):
    assert read_yes_no(answer) is read_yes_no(answer)
    assert read_text(answer) == read_text(answer)


@given(st.text(alphabet="abcdefghijklmopqrstuvwxz .,:?\n*", max_size=200))
def test_text_without_an_answer_word_is_unreadable(answer):
    assert read_yes_no(answer) is None


@given(st.sampled_from(["Yes", "No"]), st.text(alphabet=" \n\t.!*_`#", max_size=12))
def test_blanks_and_markup_around_an_answer_do_not_matter(word, around):
    assert read_yes_no(around + word + around.replace("#", "")) is (word == "Yes")


def test_tasks_may_use_other_answer_words():
    assert read_yes_no("Answer: abnormal", positive="abnormal", negative="normal") is True
    assert read_yes_no("The trace is normal.", positive="abnormal", negative="normal") is False
    assert read_yes_no("Yes", positive="abnormal", negative="normal") is None
    assert read_yes_no("lung opacity", positive="lung opacity", negative="clear lung") is True


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("left lung", "left lung"),
        ("Answer: left lung\n", "left lung"),
        ("ANSWER:   left\n lung", "left lung"),
        ("I see the base. Answer: left lung", "left lung"),
        ("Answer: left lung\nAnswer: Left lung\nAnswer: left", "left lung"),
        ("答案 Answer：心脏", "心脏"),
        ("<think>right?</think> left lung</s>", "left lung"),
        ("yes", "yes"),
    ],
)
def test_text_answer_is_read_without_its_label(answer, words):
    assert read_text(answer) == words


@pytest.mark.parametrize(
    "answer", ["", "\n\n", "Answer:", "Answer:Answer:", "...", "\b\b\b", "Answer: CT\nAnswer: MRI"]
)
def test_empty_or_contradictory_text_answer_is_unreadable(answer):
    assert read_text(answer) is None
