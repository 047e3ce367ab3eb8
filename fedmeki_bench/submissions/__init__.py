"""Submissions: bundles of predictions that anyone can score again; nothing in one is ever run."""

from fedmeki_bench.submissions._check import CheckReport, check_bundle
from fedmeki_bench.submissions._evaluations import EvaluationCheck
from fedmeki_bench.submissions._faults import FIXES, BundleFault
from fedmeki_bench.submissions._from_predictions import bundle_predictions
from fedmeki_bench.submissions._from_runs import bundle_runs
from fedmeki_bench.submissions._labels import Labels
from fedmeki_bench.submissions._load import Bundle, load_bundle
from fedmeki_bench.submissions._manifest import SCHEMA_VERSION
from fedmeki_bench.submissions._names import Claim, claims_in
from fedmeki_bench.submissions._report import as_json, as_markdown, as_text

__all__ = [
    "FIXES",
    "SCHEMA_VERSION",
    "Bundle",
    "BundleFault",
    "CheckReport",
    "Claim",
    "EvaluationCheck",
    "Labels",
    "as_json",
    "as_markdown",
    "as_text",
    "bundle_predictions",
    "bundle_runs",
    "check_bundle",
    "claims_in",
    "load_bundle",
]
