"""The prepared store: decode once, divide without leaks, deal to clients, read memory-mapped."""

from fedmeki_bench.data._audit import AuditReport, Balance, audit, audit_plan
from fedmeki_bench.data._confounds import Confound
from fedmeki_bench.data._deal import Deal, DealScheme, deal
from fedmeki_bench.data._index import Label, TaskIndex
from fedmeki_bench.data._leaks import Leak
from fedmeki_bench.data._prepare import prepare
from fedmeki_bench.data._report import PrepareReport, TaskReport
from fedmeki_bench.data._split import Assignment
from fedmeki_bench.data._store import (
    DEFAULT_STORE,
    STORE_FORMAT,
    Inputs,
    Labelled,
    PreparedStore,
    PreparedTask,
)
from fedmeki_bench.data._survey import SourceStatus, Survey, survey

__all__ = [
    "DEFAULT_STORE",
    "STORE_FORMAT",
    "Assignment",
    "AuditReport",
    "Balance",
    "Confound",
    "Deal",
    "DealScheme",
    "Inputs",
    "Label",
    "Labelled",
    "Leak",
    "PrepareReport",
    "PreparedStore",
    "PreparedTask",
    "SourceStatus",
    "Survey",
    "TaskIndex",
    "TaskReport",
    "audit",
    "audit_plan",
    "deal",
    "prepare",
    "survey",
]
