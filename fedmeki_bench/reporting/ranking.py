"""Which of several methods is best: only what a paired test on the same items can separate is called so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from fedmeki_bench.errors import CheckFailed
from fedmeki_bench.metrics import ItemStatistics, item_statistics, metric_values
from fedmeki_bench.metrics.paired import LOWER_IS_BETTER, aligned, holm, paired_differences
from fedmeki_bench.reporting._types import Measure
from fedmeki_bench.reporting.collect import data_identity, left_out_reason
from fedmeki_bench.reporting.gather import Source
from fedmeki_bench.specs import TaskSpec

__all__ = ["LEVEL", "Comparison", "Ranking", "rank"]

LEVEL = 0.05
"""A difference is called one if its p-value, corrected for the number of rivals by Holm, is below this."""

DRAWS = 2000
TEXT_METRICS = ("bleu", "rouge1", "exact_match")
"""Ranked metrics of text tasks. METEOR needs WordNet, which who builds a leaderboard may not have."""

Rank = Literal["best", "tied"]


@dataclass(frozen=True)
class Comparison:
    """The best entry against one rival on the same items; all numbers but `p` are fractions.

    Attributes:
        protocol: protocol of both.
        measure: task and metric.
        best: key of the entry with the best value.
        rival: key of the other.
        difference: best less rival.
        low: lower end of the difference's interval, None without one.
        high: upper end.
        p: two-sided p-value, corrected by Holm over the rivals; 1 where no test is possible.
        seeds: trained models behind each of the two.
    """

    protocol: str
    measure: Measure
    best: str
    rival: str
    difference: float
    low: float | None
    high: float | None
    p: float
    seeds: tuple[int, int]


@dataclass(frozen=True)
class Ranking:
    """Ranks by (entry key, protocol, measure), the tests behind them, and what could not be compared."""

    ranks: Mapping[tuple[str, str, Measure], Rank]
    comparisons: Sequence[Comparison]
    notes: Sequence[str]


def _statistics(source: Source, protocol: str, spec: TaskSpec) -> list[ItemStatistics] | None:
    """One a seed; None if the labels are not at hand or a seed lacks the evaluation."""
    found = []
    for result in source.candidate.results:
        labels = source.labels(result["seed"], spec.id)
        if labels is None:
            return None
        answers = source.predictions(result["seed"], protocol, spec.id)
        metrics = TEXT_METRICS if spec.kind == "text" else None
        found.append(item_statistics(spec, labels, answers, metrics=metrics))
    return found


def _same_items(sources: Sequence[Source], protocol: str, task: str) -> dict[tuple[str, ...], list[Source]]:
    """Sources by the items they were tested on; without those whose seeds were tested on different items."""
    groups: dict[tuple[str, ...], list[Source]] = {}
    for source in sources:
        data = [
            data_identity(result, evaluation)
            for result in source.candidate.results
            for evaluation in result["evaluations"]
            if evaluation["protocol"] == protocol and evaluation["task"] == task
        ]
        if len(data) == len(source.candidate.results) and len(set(data)) == 1:
            groups.setdefault((data[0],), []).append(source)
    return groups


def _compare(runs: Mapping[str, Sequence[ItemStatistics]], protocol: str, spec: TaskSpec) -> list[Comparison]:
    """The best of each metric against every other entry."""
    values = {key: [metric_values(run) for run in of_key] for key, of_key in runs.items()}
    shared = set.intersection(*(set(found) for of_key in values.values() for found in of_key))
    best_of = {}
    for metric in sorted(shared):
        sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
        means = {key: sign * fmean(found[metric] for found in of_key) for key, of_key in values.items()}
        best_of[metric] = max(means, key=lambda key: (means[key], key))
    comparisons: list[Comparison] = []
    for best in sorted(set(best_of.values())):
        rivals = [key for key in runs if key != best]
        tests = {key: paired_differences(runs[best], runs[key], draws=DRAWS, seed=0) for key in rivals}
        for metric in (name for name, key in best_of.items() if key == best):
            found = {key: tests[key][metric] for key in rivals}
            corrected = holm({key: 1.0 if one.p is None else one.p for key, one in found.items()})
            comparisons += [
                Comparison(
                    protocol,
                    Measure(spec.id, metric),
                    best,
                    key,
                    one.difference,
                    one.low,
                    one.high,
                    corrected[key],
                    (len(runs[best]), len(runs[key])),
                )
                for key, one in found.items()
            ]
    return comparisons


def _ranks(comparisons: Sequence[Comparison]) -> dict[tuple[str, str, Measure], Rank]:
    ranks: dict[tuple[str, str, Measure], Rank] = {}
    by_best: dict[tuple[str, str, Measure], list[Comparison]] = {}
    for comparison in comparisons:
        by_best.setdefault((comparison.best, comparison.protocol, comparison.measure), []).append(comparison)
    for place, rivals in by_best.items():
        level = [comparison.rival for comparison in rivals if comparison.p >= LEVEL]
        ranks[place] = "tied" if level else "best"
        for rival in level:
            ranks[rival, place[1], place[2]] = "tied"
    return ranks


def rank(sources: Sequence[Source], specs: Mapping[str, TaskSpec]) -> Ranking:
    """Rank methods that answered the same items of the same task under the same protocol.

    Where labels are not at hand nothing is ranked; constants and published numbers never are.

    Args:
        sources: as gathered.
        specs: tasks by id.
    """
    shown = [source for source in sources if left_out_reason(source.candidate.first) is None]
    sources = sorted(shown, key=lambda source: source.candidate.key)
    comparisons: list[Comparison] = []
    ranks: dict[tuple[str, str, Measure], Rank] = {}
    notes: list[str] = []
    places = {
        (evaluation["protocol"], evaluation["task"])
        for source in sources
        for evaluation in source.candidate.first["evaluations"]
        if evaluation["task"] in specs
    }
    for protocol, task in sorted(places):
        for group in _same_items(sources, protocol, task).values():
            found = {source.candidate.key: _statistics(source, protocol, specs[task]) for source in group}
            known = {key: runs for key, runs in found.items() if runs is not None}
            if len(known) < 2:
                continue
            try:
                level = iter(aligned([run for runs in known.values() for run in runs]))
            except CheckFailed as error:
                notes.append(f"{specs[task].short} is not ranked: {error.what}.")
                continue
            paired = {key: [next(level) for _ in runs] for key, runs in known.items()}
            fresh = _compare(paired, protocol, specs[task])
            comparisons += fresh
            ranks |= _ranks(fresh)
    return Ranking(ranks, comparisons, list(dict.fromkeys(notes)))
