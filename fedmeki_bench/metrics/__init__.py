"""Scores from answers and labels alone: extraction, metrics, intervals, paired tests. No torch, no data beyond labels."""

from fedmeki_bench.metrics._types import ItemStatistics, LabelLike, LabelRow, Prediction, Score, Scoring, TaskScores

__all__ = ["ItemStatistics", "LabelLike", "LabelRow", "Prediction", "Score", "Scoring", "TaskScores"]
