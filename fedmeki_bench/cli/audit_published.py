"""`fedmeki-bench audit-published`: check printed result tables for what must hold."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["command"]


@click.command(
    epilog="Examples:\n\n\b\n  fedmeki-bench audit-published\n"
    "  fedmeki-bench audit-published --published DIR --out leaderboard/audit"
)
@click.option(
    "--published",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with results.json, partitions.json, figure2_axis_maxima.json. Default: the papers' numbers.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Write report.md and report.json here.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of Markdown.")
def command(folder: Path | None, out: Path | None, as_json: bool) -> None:
    """Check printed result tables for what must hold.

    F1 against precision and recall; totals against their parts; rows that are a constant answer or lose to
    one; rows that no confusion matrix gives; numbers repeated between settings or printed differently in two
    tables.
    """
    from fedmeki_bench.files import write_json, write_text
    from fedmeki_bench.metrics.audit import audit
    from fedmeki_bench.metrics.audit_report import report_json, report_markdown
    from fedmeki_bench.metrics.published import load_published, released_labels

    published = load_published(folder)
    findings = audit(published, released_labels())
    if out:
        write_text(out / "report.md", report_markdown(published, findings))
        write_json(out / "report.json", report_json(published, findings))
    if as_json:
        click.echo(json.dumps(report_json(published, findings), indent=1))
    else:
        click.echo(report_markdown(published, findings), nl=False)
    if out:
        click.echo(f"written: {out / 'report.md'}, {out / 'report.json'}", err=True)
