"""Answers as text, read as labels. What cannot be read is its own outcome: never guessed, never dropped.

The rule for yes/no, in one sentence: an answer is read only where the answer word itself is given *as an
answer*. Statements about findings are not interpreted ("there is no effusion" says something, but the reader
does not know what was asked), nor are other languages, refusals, echoes of the question, or texts that say
both. `tests/metrics/answers.jsonl` holds the rule as several hundred cases; a change that moves any of them
raises `READER_VERSION`, which is part of every signature.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

__all__ = ["READER_VERSION", "read_text", "read_yes_no"]

READER_VERSION = 1
"""Raised whenever the reading of any answer changes: scores read by different versions are not comparable."""

_SYNONYMS = {"yes": ("yes", "yeah", "yep", "yup"), "no": ("no", "nope", "nah")}

_THINKING = re.compile(r"^.*</think(?:ing)?>", re.IGNORECASE | re.DOTALL)
_SPECIAL_TOKENS = re.compile(
    r"<\|[^|>]{1,30}\|>|\[/?inst\]|\[unused[^\]\[]*\]|</?(?:s|bos|eos|pad|unk|img|image|text|ecg|signal|answer"
    r"|final|br|p|b|i|em|strong|span|div|ul|ol|li|h[1-6]|start_of_turn|end_of_turn)\b[^<>]*>",
    re.IGNORECASE,
)
_LATEX = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")
_ECHO = re.compile(r"\b(?:yes\s*(?:/|or)\s*no|no\s*(?:/|or)\s*yes)\b")
_MARKER = re.compile(
    r"(?P<final>final\s+)?(?:(?:answer|response|prediction|verdict|label|output|conclusion)\s*[:：=]"
    r"|answer\s+(?:is|would\s+be|should\s+be|must\s+be)\b\s*:?)"
)
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_DETERMINER = re.compile(r"(?:[^\S\n]+|-)(?!(?:yes|no)\b)[^\W_]")
_LIST_MARK = re.compile(r"\W*(?:\(?(?:\d{1,2}|[a-d])[.)]\s)?\W*")

_REFUSAL = re.compile(
    r"\b(?:sorry|apologi[sz]e|unable|cannot|can\s?not|can['’]?t|couldn['’]?t|could not|don['’]?t know"
    r"|do not know|not (?:sure|certain|clear|possible|enough|able)|unsure|uncertain|unclear|unknown"
    r"|undetermined|indeterminate|inconclusive|insufficient|impossible|depends|as an ai|language model"
    r"|refuse|maybe|perhaps|either|neither)\b"
)
_NOT_AN_ANSWER = re.compile(
    r"\b(?:not|n['’]t|\w+n['’]t|never|without|hardly|nor|if|whether|unless|or|when|means?|would have|than"
    r"|instead of|versus|vs|no (?=\w))\b"
)
_CONDITION = re.compile(r"[^\S\n]+(?:if|when|unless|means?|would|could|might)\b")
_ALTERNATIVE = re.compile(r"\s+or\b")
_EMPTY_NO_NOUNS = """
answer answers basis clear clue comment conclusion conclusive context data definite definitive determination
diagnosis doubt idea image images info information input longer matter one opinion problem question questions
reason response signal sense thanks way wonder worries
"""
"""Nouns with which a leading "no" is no answer at all: "no idea", "no doubt", "no image was provided"."""
_EMPTY_NO = frozenset(_EMPTY_NO_NOUNS.split())


def _normalise(answer: str) -> str:
    text = _THINKING.sub("", unicodedata.normalize("NFKC", answer))
    text = _LATEX.sub(r"\1", _SPECIAL_TOKENS.sub("\n", text))
    # Backspaces and other control characters separate words like any blank; zero-width ones vanish.
    text = "".join("\n" if c == "\n" else " " if unicodedata.category(c) == "Cc" else c for c in text)
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return re.sub(r"[*_`~\"“”„«»]", "", text).casefold()


class _Words:
    """The two answer words of a task, and how they stand in a text."""

    def __init__(self, positive: str, negative: str) -> None:
        self._meaning: dict[str, bool] = {}
        for value, word in ((True, positive.casefold()), (False, negative.casefold())):
            self._meaning.update(dict.fromkeys(_SYNONYMS.get(word, (word,)), value))
        words = "|".join(re.escape(word) for word in sorted(self._meaning, key=len, reverse=True))
        whole_word = rf"(?<![^\W_])(?<!\w['’])(?:{words})(?![^\W_])(?!['’]\w)"
        self._pattern = re.compile(rf"{whole_word}(?!\s*\?)")

    def occurrences(self, text: str) -> list[tuple[bool, int, int, bool]]:
        """(meaning, start, end, whether it stands alone) of each answer word, not of "yes?"."""
        # "no" before a word on the same line is a determiner or opens a clause; "yes" never is.
        return [
            (
                self._meaning[match.group()],
                match.start(),
                match.end(),
                match.group() != "no" or _DETERMINER.match(text, match.end()) is None,
            )
            for match in self._pattern.finditer(text)
        ]


@cache
def _words(positive: str, negative: str) -> _Words:
    return _Words(positive, negative)


def _leading(text: str, words: _Words) -> set[bool] | None:
    """Readings of a text that opens with an answer word; None if it opens with something else."""
    start = _LIST_MARK.match(text)
    first = start.end() if start else 0
    occurrences = words.occurrences(text)
    if not occurrences or occurrences[0][1] != first:
        return None
    meaning, _, end, alone = occurrences[0]
    if _CONDITION.match(text, end):
        return set()
    if not alone:
        clause = re.split(r"[.,;:!?\n]", text[end:], maxsplit=1)[0]
        if _EMPTY_NO.intersection(_WORD.findall(clause)[:4]):
            return None
    return {meaning} | {other for other, _, _, other_alone in occurrences[1:] if other_alone}


def _anywhere(text: str, words: _Words) -> set[bool]:
    """Readings of a text that says its answer word later on; empty if a refusal or a condition governs it."""
    if _REFUSAL.search(text):
        return set()
    readings: set[bool] = set()
    for meaning, start, end, alone in words.occurrences(text):
        if not alone:
            continue
        before = re.split(r"[.,;:!?\n]", text[:start])[-1]
        after = _CONDITION.match(text, end) or _ALTERNATIVE.match(text, end)
        if after or _NOT_AN_ANSWER.search(before):
            # A negated or conditional answer word ("not a yes", "if yes") makes the whole text doubtful.
            return set()
        readings.add(meaning)
    return readings


def _section(text: str, words: _Words) -> set[bool]:
    leading = _leading(text, words)
    return _anywhere(text, words) if leading is None else leading


def _labelled(text: str, markers: list[re.Match[str]], words: _Words) -> set[bool]:
    """Readings of what follows each "Answer:" (only the "final" ones, if there are), and of what precedes."""
    ends = [marker.start() for marker in markers[1:]] + [len(text)]
    sections = [(marker, text[marker.end() : end]) for marker, end in zip(markers, ends, strict=True)]
    final = [section for section in sections if section[0]["final"]]
    readings = {value for _, body in final or sections for value in _section(body, words)}
    before = text[: markers[0].start()]
    occurrences = words.occurrences(before)
    if not final and occurrences and occurrences[0][3]:
        # "Yes. Answer: no" contradicts itself; "No effusion here. Answer: yes" does not.
        readings |= _leading(before, words) or set()
    return readings


def read_yes_no(answer: str, *, positive: str = "Yes", negative: str = "No") -> bool | None:
    """Read an answer as positive (True), negative (False), or unreadable (None).

    What follows "Answer:" and the like is read where there is such a marker ("final answer" before all
    others); else an answer word that opens the text, whatever explanation follows; else the answer word found
    in the text, if it is neither negated, nor conditional, nor part of a question or refusal. Contradictions
    are unreadable.

    Args:
        answer: the method's text, as decoded.
        positive: the task's answer for the positive label; "Yes" also admits yeah, yep, yup.
        negative: the task's answer for the negative label; "No" also admits nope, nah.
    """
    words = _words(positive, negative)
    text = _ECHO.sub(" ", _normalise(answer))
    markers = list(_MARKER.finditer(text))
    readings = _labelled(text, markers, words) if markers else _section(text, words)
    return readings.pop() if len(readings) == 1 else None


_TEXT_MARKER = re.compile(r"(?:final\s+)?answer\s*[:：]", re.IGNORECASE)


def read_text(answer: str) -> str | None:
    """The words of a free-text answer without its "Answer:" label, blanks squeezed; None if there are none.

    An answer given several times counts once, also where the last repetition was cut short; several different
    answers, each under a label of its own, are no answer.
    """
    text = _SPECIAL_TOKENS.sub(" ", _THINKING.sub("", unicodedata.normalize("NFC", answer)))
    text = "".join(" " if unicodedata.category(c) == "Cc" else c for c in text)
    _, *labelled = _TEXT_MARKER.split(text)
    parts = [" ".join(part.split()) for part in labelled or [text]]
    parts = [part for part in parts if any(c.isalnum() for c in part)]
    if not parts:
        return None
    first = parts[0].casefold()
    same = all(part.casefold() == first for part in parts[1:-1])
    return parts[0] if same and first.startswith(parts[-1].casefold()) else None
