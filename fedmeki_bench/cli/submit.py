"""`fedmeki-bench submit`: make a submission bundle from finished runs or another codebase's predictions."""

from __future__ import annotations

from pathlib import Path

import click

from fedmeki_bench.errors import UsageError

__all__ = ["command"]

EPILOG = """Examples:

\b
  fedmeki-bench submit runs/4f2a91 --out submissions/fedkim --author "A. Author"
  fedmeki-bench submit runs/4f2a91 runs/77c0de --out submissions/mine --author Ada --paper "arXiv 2501.00001"
  fedmeki-bench submit --predictions answers --data prepared --out submissions/b --method-name B --author Ben

Several runs are several seeds of one method and agree in all else. A bundle holds no labels and no data.
docs/submitting.md has the format, and what `fedmeki-bench check` looks at.
"""


@click.command(epilog=EPILOG)
@click.argument("runs", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="The bundle's folder, e.g. submissions/NAME.",
)
@click.option(
    "--author", "--authors", "authors", multiple=True, metavar="NAME", help="An author; repeat for several."
)
@click.option(
    "--method-name", metavar="NAME", help="Name on the leaderboard (default: as given to run --method)."
)
@click.option("--paper", metavar="TEXT", help="Title, citation or address of the paper.")
@click.option("--code", metavar="TEXT", help="Where the code can be had.")
@click.option(
    "--predictions",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Another codebase's predictions: [seed-<n>/]<protocol>/<task>.jsonl; needs --data, --method-name.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --predictions: the prepared store.",
)
@click.option("--foundation-model", metavar="NAME", help="With --predictions: the language model.")
@click.option("--revision", metavar="TEXT", help="With --predictions: its revision.")
@click.option(
    "--backbone", metavar="NAME", help="With --predictions: how clients were federated (fedavg, fedprox ...)."
)
def command(
    runs: tuple[Path, ...],
    out: Path,
    authors: tuple[str, ...],
    method_name: str | None,
    paper: str | None,
    code: str | None,
    predictions: Path | None,
    data: Path | None,
    foundation_model: str | None,
    revision: str | None,
    backbone: str | None,
) -> None:
    """Make a submission bundle from the finished runs RUNS of one method, one a seed."""
    from fedmeki_bench.submissions import bundle_predictions, bundle_runs, load_bundle

    if bool(runs) == (predictions is not None):
        raise UsageError("give either run folders or --predictions", found="both" if runs else "neither")
    if not authors:
        raise UsageError("a submission has an author", fix='add --author "Your Name"')
    if predictions is None:
        for name, value in {
            "data": data,
            "foundation-model": foundation_model,
            "revision": revision,
            "backbone": backbone,
        }.items():
            if value is not None:
                raise UsageError(
                    f"--{name} goes with --predictions only", fix="leave it out: the run's record says it"
                )
        bundle_runs(runs, out, authors=authors, method_name=method_name, paper=paper, code=code)
    else:
        if data is None or method_name is None:
            raise UsageError("--predictions needs --data and --method-name", found="one of them is missing")
        bundle_predictions(
            predictions,
            out,
            data,
            method_name=method_name,
            authors=authors,
            paper=paper,
            code=code,
            foundation_model=foundation_model,
            revision=revision,
            backbone=backbone or "none",
        )
    manifest = load_bundle(out).manifest
    size = sum(entry["bytes"] for entry in manifest["files"])
    seeds = ", ".join(map(str, manifest["seeds"]))
    click.echo(
        f"{out}: {manifest['method']['name']} ({manifest['kind']}), seeds {seeds}, "
        f"{len(manifest['files'])} files, {size:,} bytes"
    )
    click.echo(f"next: fedmeki-bench check {out} --data prepared")
