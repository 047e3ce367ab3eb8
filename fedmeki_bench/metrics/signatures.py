"""What a number means, in one line beside it: sacrebleu-style signatures.

`name:f1|v:1|scoring:strict|parse:yes-no-1|unreadable:wrong|average:binary|zero:0`. Numbers with different
signatures never stand in one column; reading them back is `parse_signature`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Literal

from fedmeki_bench.metrics._types import Scoring
from fedmeki_bench.metrics.answers import READER_VERSION
from fedmeki_bench.metrics.classification import ECE_BINS
from fedmeki_bench.metrics.legacy import LegacyQuirks
from fedmeki_bench.metrics.meteor import check_meteor_resources

__all__ = ["METRICS_VERSION", "metric_signature", "parse_signature"]

METRICS_VERSION = 1
"""Raised whenever the value of any metric could change for the same readings."""

_AVERAGING: Mapping[str, str] = {
    "precision": "average:binary|zero:0",
    "recall": "average:binary",
    "f1": "average:binary|zero:0",
    "balanced_accuracy": "average:macro",
    "mcc": "zero:0",
    "auroc": "from:score",
    "auprc": "from:score|estimate:average-precision",
    "brier": "from:score",
    "ece": f"from:score|bins:{ECE_BINS}-equal-width",
}


@cache
def _library(name: str) -> str:
    return f"{name}-{version(name)}"


def _strict_text(metric: str) -> str:
    base = metric.removesuffix("_closed").removesuffix("_open")
    if base.startswith("bleu"):
        order = base.removeprefix("bleu") or "1"
        how = f"tok:nltk-word+cjk|case:lower|order:{order}-effective|smooth:exp|average:sentence"
    elif base.startswith("rouge"):
        how = "tok:rouge-score+cjk|stem:porter|average:sentence-f1"
    elif base == "meteor":
        wordnet = check_meteor_resources().version
        how = f"tok:nltk-word+cjk|case:lower|stem:porter|wordnet:{wordnet}|average:sentence"
    elif base == "token_f1":
        how = "norm:lower-punctuation-articles|tok:blank+cjk|average:item"
    else:
        how = "norm:lower-punctuation-articles|average:item"
    subset = "|questions:" + metric.rsplit("_", 1)[1] if base != metric else ""
    return f"{how}{subset}|lib:{_text_library(base)}"


def _text_library(metric: str) -> str:
    if metric.startswith("rouge"):
        return _library("rouge-score")
    return _library("nltk") if metric.startswith(("bleu", "meteor")) else "own"


def _legacy_text(metric: str) -> str:
    if metric == "meteor":
        return f"tok:nltk-word|case:lower|wordnet:{check_meteor_resources().version}|lib:{_library('nltk')}"
    return f"case:lower|lib:{_library('nltk' if metric == 'bleu' else 'rouge-score')}"


def metric_signature(
    metric: str,
    kind: Literal["yes_no", "text"],
    scoring: Scoring = "strict",
    quirks: LegacyQuirks | None = None,
) -> str:
    """The signature of one metric under one way of scoring.

    Args:
        metric: name as in `TaskScores.scores`.
        kind: kind of the task.
        scoring: `strict` or `legacy`.
        quirks: the legacy switches; all by default.
    """
    parts = [f"name:{metric}", f"v:{METRICS_VERSION}", f"scoring:{scoring}"]
    if scoring == "legacy":
        parts.append(f"quirks:{(quirks or LegacyQuirks()).label}")
    elif metric not in ("auroc", "auprc", "brier", "ece"):
        parts += [f"parse:{'yes-no' if kind == 'yes_no' else 'text'}-{READER_VERSION}", "unreadable:wrong"]
    if kind == "yes_no":
        parts += [_AVERAGING[metric]] if metric in _AVERAGING else []
        # Counts and ranks do not depend on the library's version; tokenisers and matchers below do.
        parts.append("lib:own" if metric == "ece" else "lib:scikit-learn")
    else:
        parts.append(_strict_text(metric) if scoring == "strict" else _legacy_text(metric))
    return "|".join(parts)


def parse_signature(signature: str) -> dict[str, str]:
    """The parts of a signature by name."""
    return dict(part.split(":", 1) for part in signature.split("|"))
