"""The audit of printed tables as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fedmeki_bench.metrics.audit import CHECKS, Finding
from fedmeki_bench.metrics.published import Published

__all__ = ["report_json", "report_markdown"]

_EXPLANATIONS: Mapping[str, str] = {
    "f1": "F1 is the harmonic mean of precision and recall, which therefore fix it up to rounding.",
    "total": "The parts of a task's data add up to its total.",
    "constant": "A row that equals a constant answer on all four metrics says nothing about the method.",
    "below_constant": "The constant looks at no input at all.",
    "counts": "Accuracy, precision, recall and F1 of one run come from four whole numbers. Searched: all "
    "confusion matrices over the released labels, then all numbers of positives for the released and the "
    "printed size. A mean over several runs need not pass; the papers do not speak of one.",
    "repeated": "Two trainings rarely agree on four metrics to two decimals; a copied row does.",
    "reprinted": "A setting that stands in two tables has one result.",
    "order": "Reported beside the numbers, as the numbers alone cannot decide it.",
}


def report_json(published: Published, findings: Sequence[Finding]) -> dict[str, Any]:
    """One JSON-able object: how many findings each check has, and all of them."""
    return {
        "rows": len(published.rows),
        "numbers": sum(len(row.values) for row in published.rows),
        "not_found": list(published.missing),
        "counts": {check: sum(finding.check == check for finding in findings) for check in CHECKS},
        "findings": [asdict(finding) for finding in findings],
    }


def report_markdown(published: Published, findings: Sequence[Finding]) -> str:
    """The report for people: a table of counts, then each check with its findings."""
    numbers = sum(len(row.values) for row in published.rows)
    lines = [
        "# Audit of the printed tables",
        "",
        f"{numbers} printed numbers in {len(published.rows)} rows. A printed number stands for everything it "
        "could have been rounded or cut off from; what is listed here is not a matter of rounding.",
        "",
    ]
    lines += [f"Not checked, as there is no such file: {name}.\n" for name in published.missing]
    lines += ["| check | findings |", "|---|---|"]
    lines += [f"| {title} | {sum(f.check == check for f in findings)} |" for check, title in CHECKS.items()]
    for check, title in CHECKS.items():
        found = [finding for finding in findings if finding.check == check]
        if found:
            lines += ["", f"## {title}", "", _EXPLANATIONS[check], "", "| where | finding |", "|---|---|"]
            lines += [f"| {'<br>'.join(finding.places)} | {finding.statement} |" for finding in found]
    return "\n".join(lines) + "\n"
