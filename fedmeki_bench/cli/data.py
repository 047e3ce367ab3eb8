"""`fedmeki-bench data`: list, simulate, prepare and audit the data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from fedmeki_bench.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from fedmeki_bench.specs import TaskSpec

__all__ = ["command"]

FOLDER = click.Path(file_okay=False, path_type=Path)
STORE = "prepared"

tasks_option = click.option(
    "--tasks",
    "names",
    multiple=True,
    metavar="TASK",
    help="Only this task (id or abbreviation); repeat or join by commas.",
)
scheme_option = click.option(
    "--scheme",
    type=click.Choice(["grouped", "released"]),
    help="Override the specs' partition; tasks whose released partition cannot be reproduced stay grouped.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")


@click.group(
    epilog="""Examples:

  fedmeki-bench data ls --root DIR

  fedmeki-bench data simulate --out simulated --size small --seed 1

  fedmeki-bench data prepare --root simulated --workers 2

  fedmeki-bench data audit
"""
)
def command() -> None:
    """List, simulate, prepare and audit the data."""


@command.command("ls")
@click.option("--root", type=FOLDER, help="Folder with raw data sets; without it only the store is looked at.")
@click.option("--data", "store", default=STORE, show_default=True, type=FOLDER, help="The prepared store.")
@json_option
def list_data(root: Path | None, store: Path, as_json: bool) -> None:
    """Which sources are found, prepared or missing, where each is obtained, its licence and terms."""
    from fedmeki_bench.data import survey
    from fedmeki_bench.specs import load_tasks

    report = survey(root, store, tasks=load_tasks())
    click.echo(json.dumps(report.as_json(), indent=1) if as_json else report.render())


@command.command("simulate")
@click.option("--out", required=True, type=FOLDER, help="A new or empty folder, or an earlier simulation.")
@click.option("--size", default="small", show_default=True, metavar="small|N|paper", help="Items a task, about.")
@click.option("--seed", default=0, show_default=True, type=int, help="Another seed gives other data.")
@click.option("--sources", "names", multiple=True, metavar="SOURCE", help="Only this source; repeat or join by commas.")
@click.option("--signal", type=click.FloatRange(0), help="Distance of the two classes in standard deviations.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes that write.")
@json_option
def simulate_data(
    out: Path, size: str, seed: int, names: tuple[str, ...], signal: float | None, workers: int, as_json: bool
) -> None:
    """Write simulated data sets in the sources' own layouts and file formats."""
    from fedmeki_bench.simulate import DEFAULT_SIGNAL, simulate

    with _progress() as progress:
        report = simulate(
            out,
            size=_size(size),
            seed=seed,
            sources=_names(names) or None,
            signal=DEFAULT_SIGNAL if signal is None else signal,
            workers=workers,
            progress=progress,
        )
    click.echo(json.dumps(report.as_json(), indent=1) if as_json else report.render())


@command.command("prepare")
@click.option("--root", required=True, type=FOLDER, help="Folder with the raw data sets.")
@click.option("--out", default=STORE, show_default=True, type=FOLDER, help="The store.")
@tasks_option
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes that decode.")
@click.option(
    "--skip-corrupt",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Leave out at most N corrupt records.",
)
@scheme_option
@json_option
def prepare_data(
    root: Path,
    out: Path,
    names: tuple[str, ...],
    workers: int,
    skip_corrupt: int,
    scheme: Literal["grouped", "released"] | None,
    as_json: bool,
) -> None:
    """Decode the raw files once into a store and divide the items among the parts."""
    from fedmeki_bench.data import prepare

    with _progress() as progress:
        report = prepare(
            root,
            out,
            tasks=_tasks(names),
            workers=workers,
            skip_corrupt=skip_corrupt,
            scheme=scheme,
            progress=progress,
        )
    click.echo(json.dumps(asdict(report), indent=1, default=str) if as_json else report.render())


@command.command("audit")
@click.option("--data", "store", default=STORE, show_default=True, type=FOLDER, help="The prepared store.")
@click.option("--root", type=FOLDER, help="Audit what prepare would make of these raw data, from metadata alone.")
@tasks_option
@scheme_option
@click.option("--clients", default=5, show_default=True, type=click.IntRange(1), help="Clients in the label balance.")
@click.option("--seed", default=0, show_default=True, type=int, help="Seed of the deal to clients.")
@json_option
def audit_data(
    store: Path,
    root: Path | None,
    names: tuple[str, ...],
    scheme: Literal["grouped", "released"] | None,
    clients: int,
    seed: int,
    as_json: bool,
) -> None:
    """Look for leaks and confounds in a prepared store; exit code 3 if a leak is not allowed by its spec."""
    from fedmeki_bench.data import PreparedStore, audit, audit_plan

    tasks = _tasks(names)
    if root is not None:
        report = audit_plan(root, tasks=tasks, scheme=scheme, clients=clients, seed=seed)
    elif scheme is not None:
        raise UsageError(
            "a store has its scheme already",
            where="--scheme",
            fix="give --scheme to data prepare, or --root here",
        )
    else:
        with _progress() as progress:
            report = audit(PreparedStore.open(store), tasks=tasks, clients=clients, seed=seed, progress=progress)
    click.echo(json.dumps(report.as_json(), indent=1) if as_json else report.render())
    if report.forbidden:
        raise CheckFailed(
            f"{len(report.forbidden)} leaks that the task specs do not allow",
            where=report.place,
            found="; ".join(sorted({f"{leak.task}: {leak.kind}" for leak in report.forbidden})),
            fix="use the grouped scheme, remove repeated files, or allow the kind in split.allowed_leaks",
        )


def _names(values: Sequence[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _tasks(values: Sequence[str]) -> dict[str, TaskSpec]:
    from fedmeki_bench.specs import load_tasks, select_tasks

    return select_tasks(_names(values), load_tasks())


def _size(text: str) -> int | Literal["small", "paper"]:
    if text == "small":
        return "small"
    if text == "paper":
        return "paper"
    if text.isdecimal():
        return int(text)
    raise UsageError("no such size", where="--size", expected="small, paper, or a whole number", found=text)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each source on stderr; nothing is drawn where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        known: dict[str, TaskID] = {}

        def advance(source: str, done: int, total: int) -> None:
            if source not in known:
                known[source] = bars.add_task(source, total=total)
            bars.update(known[source], completed=done)

        yield advance
