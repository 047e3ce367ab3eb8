"""Metadata that give the label away: how well one column alone predicts it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from fedmeki_bench.data._index import TaskIndex
from fedmeki_bench.data._store import PreparedTask
from fedmeki_bench.files import content_hash
from fedmeki_bench.sources import YES
from fedmeki_bench.specs import TaskSpec

__all__ = ["SUSPECT", "Confound", "find_confounds"]

SUSPECT = 0.7
"""AUROC, or share of correct answers beyond the commonest one's, from which a column is called a confound."""

FOLDS = 5
LEAST = 10
"""Fewer items of either label than this say nothing."""


@dataclass(frozen=True)
class Confound:
    """How well one metadata column alone predicts a task's label.

    Attributes:
        task: the task.
        column: `site`, a demographic field, `hours` (length of the stay), or `question` (text tasks).
        measure: `auroc`, or `accuracy` of the commonest answer to the same question (text tasks).
        value: the measure, 0 to 1.
        chance: the measure without the column: 0.5, or the share of the commonest answer.
        n: items whose value is known.
        suspect: the column predicts so well that a model may read it instead of the record.
    """

    task: str
    column: str
    measure: str
    value: float
    chance: float
    n: int
    suspect: bool

    def render(self) -> str:
        """One line."""
        mark = "  <- confound" if self.suspect else ""
        against = f"chance {self.chance:.2f}, n {self.n:,}"
        return f"{self.task}: {self.column}: {self.measure} {self.value:.2f} ({against}){mark}"


def find_confounds(task: TaskIndex, spec: TaskSpec) -> list[Confound]:
    """Every metadata column of a task with its power to predict the label, over all parts together."""
    rows = [row for part in task.counts if part != "unused" for row in task.rows(part)]
    labels = task.labels(rows)
    if spec.kind == "text":
        asked = [(text or "").strip().lower() for text in task.questions(rows)]
        answers = [label.target.strip().lower() for label in labels]
        return _question_only(task.id, asked, answers)
    positive = [label.target == YES for label in labels]
    if min(sum(positive), len(positive) - sum(positive)) < LEAST:
        return []
    groups = [label.group for label in labels]
    found = []
    for column, values in _columns(task, rows).items():
        known = [number for number, value in enumerate(values) if value is not None]
        own = [positive[number] for number in known]
        if min(sum(own), len(own) - sum(own)) < LEAST:
            continue
        power = _power([values[number] for number in known], own, [groups[number] for number in known])
        if power is not None:
            found.append(Confound(task.id, column, "auroc", power, 0.5, len(known), power >= SUSPECT))
    return sorted(found, key=lambda one: (-one.value, one.column))


def _columns(task: TaskIndex, rows: Sequence[int]) -> dict[str, list[str | float | None]]:
    people = task.demographics(rows)
    columns: dict[str, list[str | float | None]] = {"site": list(task.sites(rows))}
    for name in sorted({name for person in people for name in person}):
        columns[name] = [person.get(name) for person in people]
    if isinstance(task, PreparedTask) and task.details["hours"] is not None:
        columns["hours"] = [float(len(one.modalities["vital_signs"])) for one in task.inputs(rows)]
    return columns


def _power(values: Sequence[str | float | None], positive: Sequence[bool], groups: Sequence[str]) -> float | None:
    """AUROC of numbers as they are, in the better direction; of words by the share of positives among
    their like.
    """
    from sklearn.metrics import roc_auc_score

    if len(set(values)) < 2:
        return None
    if not any(isinstance(value, str) for value in values):
        area = float(roc_auc_score(positive, values))
        return max(area, 1.0 - area)
    return _auroc(values, positive, groups)


def _auroc(categories: Sequence[Hashable], positive: Sequence[bool], groups: Sequence[str]) -> float | None:
    """Area under the ROC curve when an item's score is the share of positives in its category among other
    groups.

    Groups are cut into folds; scores come from the other folds, so that a rare category cannot recognise its
    own items, and only items of one fold are compared, because their scores come from the same items. None
    if no fold holds both labels.
    """
    from sklearn.metrics import roc_auc_score

    folds = [int(content_hash(group)[:8], 16) % FOLDS for group in groups]
    items = list(zip(categories, positive, folds, strict=True))
    prior = sum(positive) / len(positive)
    weighted = pairs = 0.0
    for fold in range(FOLDS):
        totals = Counter(name for name, _, own in items if own != fold)
        hits = Counter(name for name, yes, own in items if own != fold and yes)
        here = [(name, yes) for name, yes, own in items if own == fold]
        yes = sum(own for _, own in here)
        weight = yes * (len(here) - yes)
        if weight:
            scores = [(hits[name] + prior) / (totals[name] + 1) for name, _ in here]
            weighted += weight * float(roc_auc_score([own for _, own in here], scores))
            pairs += weight
    return weighted / pairs if pairs else None


def _question_only(task: str, questions: Sequence[str], answers: Sequence[str]) -> list[Confound]:
    """Share of items whose answer is the commonest one to the same question among the other items."""
    by_question: Mapping[str, Counter[str]] = defaultdict(Counter)
    overall = Counter(answers)
    for question, answer in zip(questions, answers, strict=True):
        by_question[question][answer] += 1
    right = 0
    for question, answer in zip(questions, answers, strict=True):
        others = by_question[question] - Counter([answer])
        pool = others or overall - Counter([answer])
        best = max(sorted(pool), key=lambda text: pool[text]) if pool else None
        right += best == answer
    chance = max(overall.values()) / len(answers)
    value = right / len(answers)
    return [Confound(task, "question", "accuracy", value, chance, len(answers), value >= max(SUSPECT, chance + 0.05))]
