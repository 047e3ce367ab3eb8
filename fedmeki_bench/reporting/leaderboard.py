"""One command's work: gather, rank, write the record, and render every format from the record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedmeki_bench.errors import Fault
from fedmeki_bench.files import read_json, write_json, write_text
from fedmeki_bench.metrics import LabelLike, read_labels
from fedmeki_bench.reporting._types import Table, select
from fedmeki_bench.reporting.cost import cost_table
from fedmeki_bench.reporting.figures import draw_figures, write_figures
from fedmeki_bench.reporting.gather import Gathered, LabelLookup, Source, gather_runs, gather_submissions
from fedmeki_bench.reporting.latex import render_latex
from fedmeki_bench.reporting.markdown import escape_markdown, render_markdown
from fedmeki_bench.reporting.page import render_page
from fedmeki_bench.reporting.ranking import rank
from fedmeki_bench.reporting.record import build_record, record_tables
from fedmeki_bench.reporting.table_csv import render_csv
from fedmeki_bench.specs import load_tasks

__all__ = ["Built", "Compiled", "build_leaderboard", "compile_record", "render_board"]


OVERVIEW = ("accuracy", "f1", "balanced_accuracy", "bleu", "rouge1", "meteor")
"""Metrics of the LaTeX overview of a view; all of them stand in the tables of its single tasks."""


MOST_OVERVIEW_TASKS = 4
"""With more tasks the overview shows accuracy and balanced accuracy alone: a page is not wider."""


@dataclass(frozen=True)
class Compiled:
    """A leaderboard before anything is written.

    Attributes:
        record: the content of `leaderboard.json`.
        sources: what it was made from.
        faults: of runs and bundles that were left out; the record is whole without them.
    """

    record: Mapping[str, Any]
    sources: Sequence[Source]
    faults: Sequence[Fault]


@dataclass(frozen=True)
class Built:
    """What a build wrote.

    Attributes:
        record: the content of `leaderboard.json`.
        files: every file written.
        faults: of runs and bundles that were left out; the leaderboard is whole without them.
    """

    record: Mapping[str, Any]
    files: Sequence[Path]
    faults: Sequence[Fault]


def _label_lookup(runs: Sequence[Path], store: Path | None) -> LabelLookup:
    """Labels of a record: from its own run's folder, else from a prepared store with the same split."""
    specs = load_tasks()
    folders: dict[str, Path] = {}
    for place in runs:
        for path in [place / "result.json", *sorted(place.glob("*/result.json"))]:
            if path.is_file():
                folders[str(read_json(path).get("run_id"))] = path.parent
    split_of: Callable[[str], str | None] = lambda task: None  # noqa: E731
    if store is not None:
        from fedmeki_bench.submissions import Labels

        labels = Labels.from_store(store)
        split_of = labels.split_hash

    def lookup(result: Mapping[str, Any], task: str) -> Sequence[LabelLike] | None:
        if task not in specs:
            return None
        folder = folders.get(result["run_id"])
        if folder is not None and (folder / "labels" / f"{task}.jsonl").is_file():
            return read_labels(folder / "labels" / f"{task}.jsonl", specs[task])
        if store is not None and split_of(task) == result["tasks"][task]["split_hash"]:
            return labels.test_labels(task)
        return None

    return lookup


def _without_submitted(runs: Sequence[Source], submitted: Sequence[Source]) -> list[Source]:
    """Runs of which no bundle was made: a submitted run is shown once, as the submission."""
    known = {result["run_id"] for source in submitted for result in source.candidate.results}
    return [source for source in runs if not all(result["run_id"] in known for result in source.candidate.results)]


def compile_record(
    *,
    submissions: Path | None = None,
    runs: Sequence[Path] = (),
    store: Path | None = None,
    released: Path | None = None,
) -> Compiled:
    """Gather, rank and record, without writing anything.

    What is wrong with one bundle or run leaves that one out; its faults are returned.

    Args:
        submissions: folder of bundles; need not exist.
        runs: run folders, or folders of them.
        store: prepared store whose labels the paired tests of submissions use.
        released: scores of the released logs (`released.json`); need not exist.

    Raises:
        UsageError: a place named in `runs` without a finished run.
    """
    specs = load_tasks()
    own = gather_runs(runs)
    bundles = Gathered()
    if submissions is not None and submissions.is_dir():
        bundles = gather_submissions(submissions, _label_lookup(runs, store))
    sources = [*_without_submitted(own.sources, bundles.sources), *bundles.sources]
    faults = [*own.faults, *bundles.faults]
    left_out = []
    for name in dict.fromkeys(_shown_place(fault) for fault in faults):
        count = sum(_shown_place(fault) == name for fault in faults)
        left_out.append(f"{name}: {count} fault{'s' if count > 1 else ''}")
    record = build_record(sources, rank(sources, specs), specs, released=released, left_out=left_out)
    return Compiled(record, sources, faults)


def _shown_place(fault: Fault) -> str:
    """The last two parts of a fault's place: the record names no folder of its maker's machine."""
    return "/".join(Path(fault.where).parts[-2:])


def build_leaderboard(
    out: Path,
    *,
    submissions: Path | None = None,
    runs: Sequence[Path] = (),
    store: Path | None = None,
    released: Path | None = None,
) -> Built:
    """Build the leaderboard: one JSON of record, then Markdown, LaTeX, CSV, HTML and figures from it.

    Args:
        out: folder to write to; files of other names in it stay as they are.
        submissions: as for `compile_record`.
        runs: as for `compile_record`.
        store: as for `compile_record`.
        released: as for `compile_record`; by default `released/released.json` in `out`.
    """
    logs = released if released is not None else out / "released" / "released.json"
    found = compile_record(submissions=submissions, runs=runs, store=store, released=logs)
    return Built(found.record, render_board(found.record, out, found.sources), found.faults)


def render_board(record: Mapping[str, Any], out: Path, sources: Sequence[Source] = ()) -> list[Path]:
    """Write a record and every format of it.

    Args:
        record: as from `build_record` or `read_record`.
        out: folder to write to.
        sources: whose answers the HTML page lets readers browse.

    Returns:
        The files written.
    """
    tables = [table for table in record_tables(record) if table.cells]
    costs, drawn = cost_table(record), draw_figures(record)
    files = [out / "leaderboard.json", out / "README.md", out / "leaderboard.csv", out / "index.html"]
    write_json(files[0], record)
    write_text(files[1], _markdown(record, [*tables, costs] if costs else tables))
    write_text(files[2], render_csv([*tables, costs] if costs else tables))
    write_text(files[3], render_page(record, drawn, sources))
    for name, text in _latex(tables, costs):
        path = out / "latex" / f"{name}.tex"
        write_text(path, text)
        files.append(path)
    return [*files, *write_figures(drawn, out / "figures")]


def _latex(tables: Sequence[Table], costs: Table | None) -> Iterator[tuple[str, str]]:
    """Name and text: an overview of each view over its tasks, then a table a task with every metric."""
    for table in tables:
        if len(table.tasks) > 1:
            metrics = OVERVIEW if len(table.tasks) <= MOST_OVERVIEW_TASKS else ("accuracy", "balanced_accuracy")
            yield table.name, render_latex(select(table, metrics=metrics), layout="rows", wide=True)
        for task, short in table.tasks.items():
            one = select(table, tasks=[task])
            caption = f"{table.title}, {short}. {table.caption}"
            name = f"{table.name}-{short}" if len(table.tasks) > 1 else table.name
            yield name, render_latex(one, caption=caption, label=name)
    if costs is not None:
        yield costs.name, render_latex(costs)


def _markdown(record: Mapping[str, Any], tables: Sequence[Table]) -> str:
    lines = [
        "# Leaderboard",
        "",
        "Written by `fedmeki-bench leaderboard build` from `leaderboard.json`; do not edit. "
        "`index.html` is the same with sorting, filters and details; `latex/` can be pasted into a paper.",
        "",
        *(f"- [{table.title}](#{_anchor(table.title)})" for table in tables),
        "",
    ]
    lines += [render_markdown(table, level=2) for table in tables]
    if record["left_out"]:
        lines += ["## Left out", "", *(f"- {escape_markdown(text)}" for text in record["left_out"]), ""]
    return "\n".join(lines)


def _anchor(title: str) -> str:
    """GitHub's anchor of a heading."""
    kept = "".join(char for char in title.lower() if char.isalnum() or char in " -_")
    return kept.replace(" ", "-")
