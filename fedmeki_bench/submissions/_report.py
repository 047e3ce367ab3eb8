"""What a check found, as text for a terminal, JSON for programs, Markdown for a pull request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fedmeki_bench.specs import load_tasks
from fedmeki_bench.submissions._check import CheckReport
from fedmeki_bench.submissions._evaluations import EvaluationCheck
from fedmeki_bench.submissions._faults import harmless

__all__ = ["as_json", "as_markdown", "as_text"]

HEADLINE = {
    "yes_no": ("accuracy", "f1", "balanced_accuracy", "mcc"),
    "text": ("bleu", "rouge1", "meteor", "exact_match"),
}
"""Metrics shown in the report; the bundle holds them all."""


def _verdict(report: CheckReport) -> str:
    if not report.ok:
        return f"REFUSED, {report.count} fault{'s' if report.count > 1 else ''}"
    return (
        "ACCEPTED, every score verified from the predictions"
        if report.verified
        else "no fault found, scores NOT verified"
    )


def _headline(evaluation: EvaluationCheck) -> str:
    spec = load_tasks().get(evaluation.task)
    names = HEADLINE[spec.kind] if spec else ()
    shown = [f"{name} {evaluation.scores[name]:.3f}" for name in names if evaluation.scores.get(name) is not None]
    return ", ".join(shown) or "no scores"


def as_text(reports: Sequence[CheckReport]) -> str:
    """One block a bundle: verdict, faults, notes, evaluations."""
    blocks = []
    for report in reports:
        title = f"{harmless(report.bundle)}: {_verdict(report)}"
        about = [f"  method: {harmless(report.method)} ({report.kind})"] if report.method is not None else []
        faults = [f"  {fault.render()}" for fault in report.faults]
        notes = [f"  note: {harmless(note)}" for note in report.notes]
        rows = [
            f"  {'verified' if row.verified else 'stated  '}  seed {row.seed}  {row.protocol}"
            f"  {harmless(row.task)}  n {row.n}  {_headline(row)}"
            for row in report.evaluations
        ]
        blocks.append("\n".join([title, *about, *faults, *notes, *rows]))
    return "\n\n".join(blocks)


def as_json(reports: Sequence[CheckReport]) -> list[dict[str, Any]]:
    """One object a bundle: bundle, method, kind, ok, verified, count, faults, notes, evaluations."""
    return [
        {
            "bundle": report.bundle,
            "method": report.method,
            "kind": report.kind,
            "ok": report.ok,
            "verified": report.verified,
            "count": report.count,
            "faults": [asdict(fault) for fault in report.faults],
            "notes": list(report.notes),
            "evaluations": [asdict(evaluation) for evaluation in report.evaluations],
        }
        for report in reports
    ]


def _cell(text: object) -> str:
    """Foreign text as a code span in a table cell: no HTML, link, mention, column or line comes of it."""
    shown = harmless(text).replace("|", "\\|") or " "
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest or shown != shown.strip() else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def as_markdown(reports: Sequence[CheckReport]) -> str:
    """A section a bundle, fit for a comment on a pull request or a job summary."""
    lines = ["## Submission check", ""]
    for report in reports:
        method = f", method {_cell(report.method)} ({report.kind})" if report.method is not None else ""
        lines += [
            f"### {_cell(report.bundle)}: {_verdict(report)}",
            "",
            f"Bundle {_cell(report.bundle)}{method}.",
            "",
        ]
        lines += [f"- {_cell(note)}" for note in report.notes] + ([""] if report.notes else [])
        if report.faults:
            lines += ["| code | where | field | expected | found | to do |", "|---|---|---|---|---|---|"]
            for fault in report.faults:
                cells = [fault.where, fault.field, fault.expected, fault.found, fault.fix]
                lines.append(f"| {fault.code} | {' | '.join(_cell(cell) if cell else '' for cell in cells)} |")
            lines.append("")
        if report.evaluations:
            lines += ["| seed | protocol | task | n | scores | |", "|---|---|---|---|---|---|"]
            for row in report.evaluations:
                state = "verified" if row.verified else "as stated"
                lines.append(
                    f"| {row.seed} | {row.protocol} | {_cell(row.task)} | {row.n} | {_headline(row)} | {state} |"
                )
            lines.append("")
    return "\n".join(lines)
