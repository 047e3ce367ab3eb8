"""`fedmeki-bench run`: from a method's name to a finished run with its tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fedmeki_bench.cli.options import method_options

if TYPE_CHECKING:
    from fedmeki_bench.data import PreparedStore
    from fedmeki_bench.runner.progress import Display
    from fedmeki_bench.specs import TaskSpec

__all__ = ["command"]

PROTOCOLS = ("single_task", "multi_task", "zero_shot")
DEMO_FOLDER = Path("demo")
DEMO_ITEMS = 80


@click.command(
    epilog="Examples:\n\n  fedmeki-bench run --method fedkim\n\n"
    "  fedmeki-bench run --method fedplug_l --profile mini --backbone fedprox --seed 1\n\n"
    "  fedmeki-bench run --method submissions/mine --set rank=4 --protocol zero_shot"
)
@click.option("--method", required=True, help="Name, module:Class, or path of a method; see 'methods ls'.")
@click.option(
    "--set", "pairs", multiple=True, metavar="NAME=VALUE", help="An option of the method; repeat for more."
)
@click.option("--profile", help="paper, mini or demo.  [default: paper; demo if no data are prepared]")
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    type=click.Choice([*PROTOCOLS, "all"]),
    help="Repeat for more.  [default: all]",
)
@click.option(
    "--tasks",
    "names",
    multiple=True,
    metavar="TASK",
    help="Only these tasks (ids or abbreviations).  [default: all]",
)
@click.option("--data", type=click.Path(path_type=Path), help="Prepared store.  [default: ./prepared]")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of runs.",
)
@click.option(
    "--foundation-model",
    default="smollm2-135m",
    show_default=True,
    help="smollm2-135m, mmedlm2, tiny, a hub id, or a folder.",
)
@click.option("--backbone", type=click.Choice(["fedavg", "fedprox"]), default="fedavg", show_default=True)
@click.option(
    "--weighting",
    type=click.Choice(["uniform", "examples"]),
    default="uniform",
    show_default=True,
    help="Of the clients' mean.",
)
@click.option(
    "--deal",
    type=click.Choice(["iid", "dirichlet", "site", "demographic", "quantity"]),
    default="iid",
    show_default=True,
    help="How private data are dealt to clients.",
)
@click.option("--deal-alpha", type=float, help="Concentration of a dirichlet or quantity deal.  [default: 0.5]")
@click.option("--deal-field", help="Demographic field of a demographic deal, such as sex or age.")
@click.option("--rounds", type=int, help="Communication rounds.  [default: the profile's]")
@click.option("--clients", type=int, help="Number of clients.  [default: the profile's]")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--limit", type=int, help="At most N examples of each part of each task (a seeded sample).")
@click.option(
    "--image-weights",
    type=click.Path(path_type=Path),
    help="timm's DeiT-tiny weights as safetensors.  [default: random]",
)
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Of the frozen weights; auto: bfloat16 where the GPU has it, else float32.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--prediction-batch-size",
    type=click.IntRange(min=1),
    help="Speed only.  [default: 8, on a GPU what its memory allows]",
)
@click.option("--gradient-checkpointing", is_flag=True, help="Less memory, more time; same result.")
@click.option(
    "--shard",
    is_flag=True,
    help="Spread the foundation model over all GPUs, or over the processes started, if one GPU is too small for it.",
)
@click.option("--download", is_flag=True, help="Allow fetching the foundation model from the hub.")
@click.option(
    "--progress", type=click.Choice(["auto", "plain", "json", "quiet"]), default="auto", show_default=True
)
def command(
    method: str,
    pairs: tuple[str, ...],
    profile: str | None,
    protocols: tuple[str, ...],
    names: tuple[str, ...],
    data: Path | None,
    output: Path,
    progress: Any,
    **settings: Any,
) -> None:
    """Train and evaluate a method: clients, injection, answers, scores, tables.

    The same command continues an interrupted run, and shows the tables of a finished one. Without prepared data and
    without a profile, a small simulated corpus is made and the demo profile runs on it.

    On several GPUs: torchrun --nproc-per-node 4 -m fedmeki_bench run ...
    """
    from fedmeki_bench.data import DEFAULT_STORE, PreparedStore
    from fedmeki_bench.methods import load_method
    from fedmeki_bench.methods.processes import current_processes
    from fedmeki_bench.reporting import render_terminal, run_tables, write_run_tables
    from fedmeki_bench.runner.config import resolve_config
    from fedmeki_bench.runner.progress import open_display
    from fedmeki_bench.runner.run import run
    from fedmeki_bench.specs import load_tasks, select_tasks

    specs = select_tasks([name for group in names for name in group.split(",")], load_tasks())
    chosen: Any = PROTOCOLS if not protocols or "all" in protocols else protocols
    options = load_method(method, method_options(pairs)).config
    processes = current_processes(settings["device"])
    display = open_display(progress if processes.main else "quiet")
    try:
        place = data or DEFAULT_STORE
        if profile is None:
            profile = "demo" if data is None and not place.exists() else "paper"
        config = resolve_config(
            method=method,
            method_options=options,
            profile=profile,
            tasks=tuple(specs),
            protocols=chosen,
            **settings,
        )
        if data is None and profile == "demo" and not place.exists():
            with processes.main_first():
                store = _demo_store(specs, display)
        else:
            store = PreparedStore.open(place, tasks=load_tasks())
        finished = run(config, specs, store, output, display)
    finally:
        display.close()
    processes.leave()
    if not processes.main:
        return
    written = write_run_tables(finished.result, finished.folder / "tables")
    for table in run_tables([finished.result]):
        click.echo(render_terminal(table))
        click.echo()
    click.echo(f"run: {finished.folder}\ntables: {', '.join(str(path) for path in written)}")


def _demo_store(specs: dict[str, TaskSpec], display: Display) -> PreparedStore:
    """The demo's store, made from simulated data on first use."""
    from fedmeki_bench.data import PreparedStore, prepare
    from fedmeki_bench.simulate import simulate
    from fedmeki_bench.specs import load_tasks

    store = DEMO_FOLDER / "prepared"
    display.note(
        f"no prepared data found: the demo runs on a small SIMULATED corpus in {DEMO_FOLDER}/; "
        "its scores say nothing about medicine"
    )
    if not (store / "store.json").is_file():
        raw = DEMO_FOLDER / "simulated"
        simulate(
            raw,
            size=DEMO_ITEMS,
            seed=0,
            progress=lambda name, done, total: display.event(f"simulate {name}", done, total, {}),
        )
        prepare(
            raw,
            store,
            tasks=load_tasks(),
            progress=lambda name, done, total: display.event(f"prepare {name}", done, total, {}),
        )
    return PreparedStore.open(store, tasks=load_tasks())
