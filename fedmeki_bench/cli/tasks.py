"""`fedmeki-bench tasks`: list, show and validate the task specifications."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from fedmeki_bench.errors import FaultsError

__all__ = ["command"]


@click.group(
    epilog="Examples:\n\n  fedmeki-bench tasks ls\n\n  fedmeki-bench tasks show CD\n\n"
    "  fedmeki-bench tasks validate tasks/"
)
def command() -> None:
    """List, show and validate the task specifications."""


@command.command("ls")
@click.option("--json", "as_json", is_flag=True, help="One JSON list instead of a table.")
def list_tasks(as_json: bool) -> None:
    """List the tasks: abbreviation, role, kind, modalities, the papers' counts."""
    from tabulate import tabulate

    from fedmeki_bench.specs import load_tasks

    tasks = load_tasks()
    if as_json:
        click.echo(json.dumps([{"hash": spec.hash, **asdict(spec)} for spec in tasks.values()], indent=1))
        return
    rows = [
        [
            spec.short,
            spec.id,
            spec.role,
            spec.kind,
            spec.source,
            "+".join(spec.modalities),
            spec.paper.total or "",
            spec.paper.test,
        ]
        for spec in tasks.values()
    ]
    click.echo(
        tabulate(rows, headers=["", "task", "role", "kind", "source", "modalities", "papers: total", "test"])
    )


@command.command("show")
@click.argument("task")
@click.option("--json", "as_json", is_flag=True, help="JSON instead of YAML.")
def show_task(task: str, as_json: bool) -> None:
    """Show one task in full, by id or abbreviation, with the hash of its spec."""
    import yaml

    from fedmeki_bench.specs import find_task, load_tasks

    spec = find_task(task, load_tasks())
    shown = {"hash": spec.hash, **json.loads(json.dumps(asdict(spec)))}
    click.echo(
        json.dumps(shown, indent=1) if as_json else yaml.safe_dump(shown, sort_keys=False, width=100),
        nl=as_json,
    )


@command.command("validate")
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
def validate(path: Path | None) -> None:
    """Check a spec file or a folder of them (default: those of the package); reports every fault at once."""
    from fedmeki_bench.specs import load_tasks, spec_faults

    faults = spec_faults(path)
    if faults:
        raise FaultsError(
            f"{len(faults)} fault{'s' if len(faults) > 1 else ''} in the task specifications", faults
        )
    count = len(load_tasks(path)) if path is None or path.is_dir() else 1
    click.echo(f"{count} task specification{'s' if count > 1 else ''} valid")
