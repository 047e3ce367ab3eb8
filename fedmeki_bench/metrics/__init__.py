"""Scores from answers and labels alone, without torch: reading, metrics, intervals, paired tests."""

from fedmeki_bench.metrics._types import (
    ItemStatistics,
    LabelLike,
    LabelRow,
    Prediction,
    Score,
    Scoring,
    TaskScores,
)
from fedmeki_bench.metrics.answers import READER_VERSION, read_text, read_yes_no
from fedmeki_bench.metrics.legacy import LegacyQuirks
from fedmeki_bench.metrics.meteor import MeteorResources, check_meteor_resources
from fedmeki_bench.metrics.reading import labels_beside, read_labels, read_predictions, read_store_labels
from fedmeki_bench.metrics.reference import best_constant, reference_rows
from fedmeki_bench.metrics.released import read_released
from fedmeki_bench.metrics.scoring import metric_values, score_statistics, score_task
from fedmeki_bench.metrics.signatures import METRICS_VERSION, metric_signature, parse_signature
from fedmeki_bench.metrics.statistics import item_statistics

__all__ = [
    "METRICS_VERSION",
    "READER_VERSION",
    "ItemStatistics",
    "LabelLike",
    "LabelRow",
    "LegacyQuirks",
    "MeteorResources",
    "Prediction",
    "Score",
    "Scoring",
    "TaskScores",
    "best_constant",
    "check_meteor_resources",
    "item_statistics",
    "labels_beside",
    "metric_signature",
    "metric_values",
    "parse_signature",
    "read_labels",
    "read_predictions",
    "read_released",
    "read_store_labels",
    "read_text",
    "read_yes_no",
    "reference_rows",
    "score_statistics",
    "score_task",
]
