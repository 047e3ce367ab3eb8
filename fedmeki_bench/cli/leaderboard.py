"""`fedmeki-bench leaderboard`: build the leaderboard, and take single tables out of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from fedmeki_bench.errors import FaultsError, UsageError, did_you_mean

if TYPE_CHECKING:
    from fedmeki_bench.reporting import Table

__all__ = ["command"]

EPILOG = """Examples:

\b
  fedmeki-bench leaderboard build --runs runs
  fedmeki-bench leaderboard build --submissions submissions --data prepared --out leaderboard
  fedmeki-bench leaderboard table multi_task
  fedmeki-bench leaderboard table zero_shot --format latex --wide --metrics accuracy,f1 --intervals
"""

FORMATS = ("terminal", "markdown", "latex", "csv")


@click.group(epilog=EPILOG)
def command() -> None:
    """Build the leaderboard, and take single tables out of it."""


@command.command("build", epilog=EPILOG)
@click.option(
    "--submissions",
    type=click.Path(path_type=Path),
    default=Path("submissions"),
    show_default=True,
    help="Folder of bundles; passed by if it is not there.",
)
@click.option(
    "--runs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A run's folder or a folder of them; repeat for more.  [default: none]",
)
@click.option(
    "--data",
    "store",
    type=click.Path(path_type=Path),
    help="Prepared store whose labels the paired tests of submissions use.",
)
@click.option(
    "--released",
    type=click.Path(path_type=Path),
    help="Scores of the released logs.  [default: released/released.json in the output folder]",
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("leaderboard"), show_default=True)
def build(submissions: Path, runs: tuple[Path, ...], store: Path | None, released: Path | None, out: Path) -> None:
    """Write leaderboard.json, and from it Markdown, LaTeX, CSV, one HTML page and figures.

    Rows: published numbers, released logs scored again, constants, your runs, submissions. A bundle or run
    with faults is left out; the rest is written, the faults are listed, and the exit code is 3.
    """
    from fedmeki_bench.reporting.leaderboard import build_leaderboard

    built = build_leaderboard(out, submissions=submissions, runs=runs, store=store, released=released)
    for view in built.record["views"]:
        kinds = [entry["kind"] for entry in view["entries"]]
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)) or "empty"
        click.echo(f"{view['title']}: {counts}")
    for text in built.record["left_out"]:
        click.echo(f"left out: {text}")
    click.echo(f"written: {len(built.files)} files in {out}; open {out / 'index.html'}")
    if built.faults:
        raise FaultsError("the leaderboard is written without what has faults", built.faults, exit_code=3)


def _names(value: str | None) -> list[str] | None:
    return [name.strip() for name in value.split(",") if name.strip()] if value else None


@command.command("table", epilog=EPILOG)
@click.argument("view")
@click.option(
    "--from",
    "record_path",
    type=click.Path(path_type=Path),
    default=Path("leaderboard/leaderboard.json"),
    show_default=True,
)
@click.option("--format", "how", type=click.Choice(FORMATS), default="terminal", show_default=True)
@click.option("--tasks", help="Only these, by id or abbreviation, separated by commas.")
@click.option("--metrics", help="Only these (also ones not shown by default, such as brier), separated by commas.")
@click.option("--methods", help="Only methods whose name contains one of these, separated by commas.")
@click.option("--kinds", help="Only own, submission, released, constant, published; separated by commas.")
@click.option(
    "--layout",
    type=click.Choice(["columns", "blocks", "rows"]),
    help="columns: a column a method, as FedKIM Table 3.",
)
@click.option("--transposed", is_flag=True, help="LaTeX: swap methods between rows and columns.")
@click.option("--wide/--narrow", default=None, help="LaTeX: table* over two columns, or table.  [default: by width]")
@click.option("--intervals", is_flag=True, help="Print 95% intervals.")
@click.option("--caption", help="LaTeX: caption, plain text.")
@click.option("--label", help="LaTeX: label, put after tab:.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write.  [default: standard output]")
def table(
    view: str,
    record_path: Path,
    how: str,
    tasks: str | None,
    metrics: str | None,
    methods: str | None,
    kinds: str | None,
    layout: Literal["columns", "blocks", "rows"] | None,
    transposed: bool,
    wide: bool | None,
    intervals: bool,
    caption: str | None,
    label: str | None,
    output: Path | None,
) -> None:
    """Print one VIEW of a leaderboard: multi_task, single_task, zero_shot, zero_shot_text, cost ..."""
    from fedmeki_bench.files import write_text
    from fedmeki_bench.reporting import render_csv, render_latex, render_markdown, render_terminal

    if how != "latex" and (transposed or wide is not None or caption or label):
        raise UsageError("--transposed, --wide, --caption and --label go with --format latex")
    chosen = _selected(_view(record_path, view), tasks, metrics, methods, kinds)
    if how == "latex":
        options = {"transposed": transposed, "wide": wide, "caption": caption, "label": label}
        text = render_latex(chosen, layout=layout, intervals=intervals, **options)  # type: ignore[arg-type]
    elif how == "markdown":
        text = render_markdown(chosen, layout=layout, intervals=intervals)
    elif how == "csv":
        text = render_csv([chosen])
    else:
        text = render_terminal(chosen, layout=layout, intervals=intervals) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        write_text(output, text)


def _view(record_path: Path, name: str) -> Table:
    from fedmeki_bench.reporting.cost import cost_table
    from fedmeki_bench.reporting.record import read_record, record_tables

    record = read_record(record_path)
    tables = {table.name: table for table in record_tables(record)}
    cost = cost_table(record)
    if cost is not None:
        tables["cost"] = cost
    if name not in tables:
        raise UsageError(f"no view {name!r} in this leaderboard", where=record_path, fix=did_you_mean(name, tables))
    return tables[name]


def _selected(table: Table, tasks: str | None, metrics: str | None, methods: str | None, kinds: str | None) -> Table:
    """The part of the table that was asked for; an unknown name is a usage error."""
    from fedmeki_bench.reporting import select

    held = {measure.metric for _, measure in table.cells}
    known_tasks = {
        **{task: task for task in table.tasks},
        **{short: task for task, short in table.tasks.items()},
    }
    wanted_kinds, wanted_methods = _names(kinds), _names(methods)
    asked: list[tuple[str, list[str] | None, set[str]]] = [
        ("task", _names(tasks), set(known_tasks)),
        ("metric", _names(metrics), held),
        ("kind", wanted_kinds, {"own", "submission", "released", "constant", "published"}),
    ]
    for what, names, known in asked:
        for name in names or ():
            if name not in known:
                raise UsageError(f"no {what} {name!r} in {table.name}", fix=did_you_mean(name, known))
    shown = _names(tasks)
    return select(
        table,
        tasks=None if shown is None else [known_tasks[name] for name in shown],
        metrics=_names(metrics),
        keep=lambda entry: (
            (wanted_kinds is None or entry.kind in wanted_kinds)
            and (wanted_methods is None or any(name.lower() in entry.label.lower() for name in wanted_methods))
        ),
    )
