"""`fedmeki-bench check`: score bundles again from their predictions and report every fault at once."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fedmeki_bench.errors import CheckFailed, UsageError

__all__ = ["command"]

EPILOG = """Examples:

\b
  fedmeki-bench check submissions/mine --data prepared
  fedmeki-bench check submissions/* --against submissions --markdown
  fedmeki-bench check mine.zip --labels runs/4f2a91/labels --json

Nothing in a bundle is extracted, imported or run. Exit code 3 if any bundle has a fault.
"""


@click.command(epilog=EPILOG)
@click.argument("bundles", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Prepared store with the test labels.",
)
@click.option(
    "--labels",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of <task>.jsonl with the test labels.",
)
@click.option(
    "--against",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of bundles whose method names are taken; repeat for several.",
)
@click.option("--json", "as_json_", is_flag=True, help="One JSON list instead of text.")
@click.option("--markdown", is_flag=True, help="Markdown for a pull request.")
def command(
    bundles: tuple[Path, ...],
    data: Path | None,
    labels: Path | None,
    against: tuple[Path, ...],
    as_json_: bool,
    markdown: bool,
) -> None:
    """Score BUNDLES (folders or zip files) again from their predictions and report every fault at once."""
    from fedmeki_bench.submissions import Labels, as_json, as_markdown, as_text, check_bundle, claims_in

    if data is not None and labels is not None:
        raise UsageError("give --data or --labels, not both")
    if as_json_ and markdown:
        raise UsageError("give --json or --markdown, not both")
    truth = Labels.from_store(data) if data else Labels.from_folder(labels) if labels else None
    claims = [claim for folder in against for claim in claims_in(folder)]
    reports = []
    for bundle in bundles:
        reports.append(check_bundle(bundle, truth, claims))
    if as_json_:
        click.echo(json.dumps(as_json(reports), indent=1))
    else:
        click.echo(as_markdown(reports) if markdown else as_text(reports))
    refused = [report for report in reports if not report.ok]
    if refused:
        count = sum(report.count for report in refused)
        raise CheckFailed(
            f"{count} fault{'s' if count > 1 else ''} in {len(refused)} of {len(reports)} bundles"
        )
