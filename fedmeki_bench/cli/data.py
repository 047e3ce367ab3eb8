"""`fedmeki-bench data`: simulate, prepare, audit and list the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

__all__ = ["command"]

EXAMPLES = """Examples:

  fedmeki-bench data ls --root DIR

  fedmeki-bench data prepare --root DIR --workers 2

  fedmeki-bench data prepare --root DIR --tasks MR --tasks SNC --out prepared
"""


@click.group(epilog=EXAMPLES)
def command() -> None:
    """Simulate, prepare, audit and list the data."""


@command.command("prepare")
@click.option("--root", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder with the raw data sets.")
@click.option("--out", default="prepared", show_default=True, type=click.Path(file_okay=False, path_type=Path), help="The store.")
@click.option("--tasks", "names", multiple=True, metavar="TASK", help="Only this task (id or abbreviation); repeat or separate by commas.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes that decode.")
@click.option("--skip-corrupt", default=0, show_default=True, type=click.IntRange(0), help="Leave out at most N corrupt records.")
def prepare_data(root: Path, out: Path, names: tuple[str, ...], workers: int, skip_corrupt: int) -> None:
    """Decode the raw files once into a store and divide the items among the parts."""
    from fedmeki_bench.data import prepare
    from fedmeki_bench.specs import load_tasks, select_tasks

    wanted = [part.strip() for name in names for part in name.split(",") if part.strip()]
    tasks = select_tasks(wanted, load_tasks())
    with _progress() as progress:
        report = prepare(root, out, tasks=tasks, workers=workers, skip_corrupt=skip_corrupt, progress=progress)
    click.echo(report.render())


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
