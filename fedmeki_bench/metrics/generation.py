"""Metrics of text tasks as plain functions of one reference and one answer, through nltk and rouge-score.

All are per item; a task's score is their mean over the items. Text is lower-cased and split into words by
nltk's Treebank-style `NLTKWordTokenizer`; Chinese, Japanese and Korean characters, which no blank separates,
are words of their own (rouge-score's own tokeniser would drop them, and score a right answer 0).
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

__all__ = [
    "BLEU_METRICS",
    "ROUGE_METRICS",
    "bleu_scores",
    "exact_match",
    "normalise_answer",
    "rouge_scores",
    "token_f1",
    "tokenise",
    "word_tokenizer",
]

BLEU_METRICS = ("bleu", "bleu2", "bleu3", "bleu4")
"""Mean sentence BLEU of order 1 (the papers' "BLEU") to 4."""

ROUGE_METRICS = ("rouge1", "rouge2", "rougeL")
"""ROUGE F-measures with stemming; `rouge1` is the papers' "ROUGE"."""

_CJK = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff])")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation + "，。！？：；、（）“”‘’《》")


@cache
def word_tokenizer() -> Any:
    """nltk's `NLTKWordTokenizer`: for one sentence, and unlike `word_tokenize` without a downloaded model."""
    from nltk.tokenize import NLTKWordTokenizer

    return NLTKWordTokenizer()


def tokenise(text: str) -> list[str]:
    """Lower-cased words of one sentence: nltk's `NLTKWordTokenizer`, and each CJK character by itself."""
    return list(_words(text))


# A benchmark asks for few different references, and few different words, many thousand times.
@lru_cache(maxsize=1 << 16)
def _words(text: str) -> tuple[str, ...]:
    return tuple(word_tokenizer().tokenize(_CJK.sub(r" \1 ", text.lower())))


def bleu_scores(reference: Sequence[str], hypothesis: Sequence[str]) -> dict[str, float]:
    """Sentence BLEU of order 1 to 4 of tokenised texts, keys as `BLEU_METRICS`, through nltk.

    The order is lowered to the answer's length where that is shorter, so that a right one-word answer has
    BLEU-4 of 1, and n-gram counts of zero are smoothed exponentially: sacrebleu's `effective_order` and
    `exp`, with which the values agree. Without a common word all are 0.
    """
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    if not hypothesis or not set(reference) & set(hypothesis):
        return dict.fromkeys(BLEU_METRICS, 0.0)
    orders = range(1, min(4, len(hypothesis)) + 1)
    weights = [tuple(1.0 / order for _ in range(order)) for order in orders]
    found = sentence_bleu([reference], hypothesis, weights, SmoothingFunction().method3)
    values = [found] if len(weights) == 1 else found
    return {name: float(values[min(index, len(values) - 1)]) for index, name in enumerate(BLEU_METRICS)}


class _RougeTokenizer:
    """rouge-score's own words (ASCII letters and digits, stemmed), and CJK characters as words."""

    def __init__(self) -> None:
        from nltk.stem.porter import PorterStemmer
        from rouge_score import tokenize

        self._stemmer = SimpleNamespace(stem=lru_cache(maxsize=1 << 16)(PorterStemmer().stem))
        self._tokenize = tokenize.tokenize
        self.tokenize = lru_cache(maxsize=1 << 16)(self._split)

    def _split(self, text: str) -> list[str]:
        words: list[str] = []
        for piece in _CJK.split(text):
            words.extend([piece] if _CJK.fullmatch(piece) else self._tokenize(piece, self._stemmer))
        return words


@cache
def _rouge_scorer() -> Any:
    # Building a scorer costs far more than scoring an item: one serves all.
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(ROUGE_METRICS), tokenizer=_RougeTokenizer())


def rouge_scores(reference: str, hypothesis: str) -> dict[str, float]:
    """ROUGE-1, -2 and -L F-measures with Porter stemming, keys as `ROUGE_METRICS`, through rouge-score."""
    scores = _rouge_scorer().score(reference, hypothesis)
    return {name: float(scores[name].fmeasure) for name in ROUGE_METRICS}


def normalise_answer(text: str) -> str:
    """Text as VQA papers compare it: lower case, without punctuation and English articles, single blanks."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(reference: str, hypothesis: str) -> float:
    """1 where both texts are equal once normalised, else 0; bare punctuation is compared as it is."""
    normal = normalise_answer(reference)
    same = normal == normalise_answer(hypothesis) if normal else reference.strip() == hypothesis.strip()
    return float(same)


def token_f1(reference: str, hypothesis: str) -> float:
    """F1 of the bags of normalised words (SQuAD's; CJK characters are words); 0 if either has no word.

    Source: Rajpurkar et al., EMNLP 2016, section 4.
    """
    expected = Counter(_CJK.sub(r" \1 ", normalise_answer(reference)).split())
    found = Counter(_CJK.sub(r" \1 ", normalise_answer(hypothesis)).split())
    common = (expected & found).total()
    return 2.0 * common / (expected.total() + found.total()) if common else 0.0
