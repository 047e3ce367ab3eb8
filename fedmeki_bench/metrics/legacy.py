"""The public release's scoring rules, each quirk a named switch.

With every switch on, the numbers are those of the release, to the last digits its own arithmetic keeps.
Switching one off replaces that rule alone by this project's, so that a reader sees which quirk moves which
number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

from fedmeki_bench.metrics import generation
from fedmeki_bench.metrics.answers import read_text, read_yes_no

__all__ = ["LegacyQuirks", "legacy_bleu", "legacy_rouge1", "legacy_text", "legacy_tokens", "legacy_yes_no"]


@dataclass(frozen=True)
class LegacyQuirks:
    """Which of the release's rules apply; all by default.

    Attributes:
        substring_count: a yes/no answer is read by counting the substrings "yes" and "no", so that "none",
            "normal" and "diagnosis" each count as a no. Off: the strict reading.
        ties_are_yes: as many yes as no reads as yes. Off: unreadable.
        unreadable_rewrites_truth: where neither is found, the *truth* is set to no and the prediction to yes.
            Off: the truth stays, and the answer counts as wrong.
        last_marker: a text answer is what follows the last "answer:". Off: the strict reading.
        whitespace_tokens: BLEU splits words at blanks only, so "no." is not "no". Off: strict tokenisation.
        latin_words_only: ROUGE drops Chinese characters, METEOR takes a run of them as one word. Off: each
            is a word.
        meteor_skips_empty: METEOR is averaged over the non-empty answers only, BLEU and ROUGE over all. Off:
            over all.
    """

    substring_count: bool = True
    ties_are_yes: bool = True
    unreadable_rewrites_truth: bool = True
    last_marker: bool = True
    whitespace_tokens: bool = True
    latin_words_only: bool = True
    meteor_skips_empty: bool = True

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The switches, in the order in which the release applies them."""
        return tuple(field.name for field in fields(cls))

    def without(self, name: str) -> LegacyQuirks:
        """The same rules with one of them replaced by this project's."""
        return replace(self, **{name: False})

    @property
    def label(self) -> str:
        """Short form for signatures: `all`, or the switches that are off."""
        off = [name for name in self.names() if not getattr(self, name)]
        return "all" if not off else "all-" + "-".join(off)


def legacy_yes_no(answer: str, quirks: LegacyQuirks) -> bool | None:
    """Yes, no, or unreadable (None) under the release's rules."""
    if not quirks.substring_count:
        return read_yes_no(answer)
    text = answer.lower()
    yes, no = text.count("yes"), text.count("no")
    if yes == no:
        return True if yes and quirks.ties_are_yes else None
    return yes > no


def legacy_text(answer: str, quirks: LegacyQuirks) -> str:
    """The words of a text answer under the release's rules, lower case; empty where there are none."""
    if not quirks.last_marker:
        return (read_text(answer) or "").lower()
    return answer.lower().split("answer:")[-1]


def legacy_bleu(reference: str, hypothesis: str, quirks: LegacyQuirks) -> float:
    """Sentence BLEU-1 under the release's tokenisation."""
    from nltk.translate.bleu_score import sentence_bleu

    split = str.split if quirks.whitespace_tokens else generation.tokenise
    words, answer = split(reference), split(hypothesis)
    if not set(words) & set(answer):
        return 0.0
    return float(sentence_bleu([words], answer, (1.0,)))


@cache
def _rouge1_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1"], use_stemmer=True)


def legacy_rouge1(reference: str, hypothesis: str, quirks: LegacyQuirks) -> float:
    """ROUGE-1 F-measure; the release's is with rouge-score's own tokeniser, which knows ASCII words alone."""
    if not quirks.latin_words_only:
        return generation.rouge_scores(reference, hypothesis)["rouge1"]
    return float(_rouge1_scorer().score(reference, hypothesis)["rouge1"].fmeasure)


def legacy_tokens(text: str, quirks: LegacyQuirks) -> Sequence[str]:
    """Words for METEOR: nltk's tokeniser on the whole answer as one sentence."""
    if not quirks.latin_words_only:
        return generation.tokenise(text)
    return list(generation.word_tokenizer().tokenize(text))
