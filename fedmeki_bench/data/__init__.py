"""The prepared store: decode once, divide without leaks, deal to clients, read memory-mapped."""

from fedmeki_bench.data._deal import Deal, DealScheme, deal
from fedmeki_bench.data._prepare import PrepareReport, TaskReport, prepare
from fedmeki_bench.data._split import Assignment
from fedmeki_bench.data._store import DEFAULT_STORE, STORE_FORMAT, Inputs, Label, Labelled, PreparedStore, PreparedTask

__all__ = [
    "DEFAULT_STORE",
    "STORE_FORMAT",
    "Assignment",
    "Deal",
    "DealScheme",
    "Inputs",
    "Label",
    "Labelled",
    "PrepareReport",
    "PreparedStore",
    "PreparedTask",
    "TaskReport",
    "deal",
    "prepare",
]
