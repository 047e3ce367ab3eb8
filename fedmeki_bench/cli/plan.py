"""`fedmeki-bench plan`: what a run will take, without weights, data or a device."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fedmeki_bench.runner.plan import Plan

__all__ = ["command"]


@click.command(
    epilog="Example:\n\n  fedmeki-bench plan --profile paper --foundation-model mmedlm2 --tflops 300"
)
@click.option("--profile", default="paper", show_default=True, help="Profile whose settings are planned.")
@click.option(
    "--foundation-model",
    default="mmedlm2",
    show_default=True,
    help="mmedlm2, smollm2-135m, or a folder with config.json.",
)
@click.option(
    "--method", default="fedkim", show_default=True, help="Method that injects into the foundation model."
)
@click.option(
    "--tflops",
    type=float,
    default=100.0,
    show_default=True,
    help="Sustained throughput of the device, 10^12 operations a second.",
)
@click.option("--rounds", type=int, help="Communication rounds (default: the profile's).")
@click.option("--clients", type=int, help="Number of clients (default: the profile's).")
@click.option(
    "--dtype",
    type=click.Choice(["bfloat16", "float16", "float32"]),
    default="bfloat16",
    show_default=True,
    help="Of the foundation model's weights.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object with plain numbers instead of tables.")
def command(
    profile: str,
    foundation_model: str,
    method: str,
    tflops: float,
    rounds: int | None,
    clients: int | None,
    dtype: str,
    as_json: bool,
) -> None:
    """Plan a run: parameters, traffic, memory, operations and time, counted without weights."""
    import torch

    from fedmeki_bench.runner.config import resolve_config
    from fedmeki_bench.runner.plan import make_plan
    from fedmeki_bench.specs import load_tasks

    config = resolve_config(
        method=method,
        method_options={},
        profile=profile,
        tasks=tuple(load_tasks()),
        foundation_model=foundation_model,
        rounds=rounds,
        clients=clients,
    )
    plan = make_plan(config, tflops=tflops, dtype=getattr(torch, dtype))
    if as_json:
        from dataclasses import asdict

        click.echo(json.dumps(asdict(plan), indent=1))
        return
    click.echo(render(plan))


def render(plan: Plan) -> str:
    """The plan as Markdown tables, ready to paste."""
    setting = plan.setting
    trained = {name: count for name, count in plan.parameters.items() if "frozen" not in name}
    parameters = [[name, f"{count:,}"] for name, count in trained.items()]
    parameters.append(["all that is trained", f"{sum(trained.values()):,}"])
    parameters += [[name, f"{count:,}"] for name, count in plan.parameters.items() if name not in trained]
    memory = [
        [stage, part, f"{value / 1e9:,.2f}"]
        for stage, parts in plan.memory.items()
        for part, value in parts.items()
    ]
    work = [
        [stage, f"{count / 1e15:,.3g}", _duration(plan.seconds[stage])]
        for stage, count in plan.operations.items()
    ]
    blocks = [
        f"{setting['method']} on {setting['foundation_model']} ({setting['dtype']}), profile "
        f"{setting['profile']}: {setting['rounds']} rounds, {setting['clients']} clients, "
        f"at {setting['tflops']:g} TFLOP/s",
        _table(parameters, ["trained parameters", "number"]),
        _table([[name, f"{value / 1e6:,.1f}"] for name, value in plan.traffic.items()], ["traffic", "MB"]),
        _table(memory, ["memory", "part", "GB"]),
        _table(work, ["work", "PFLOP", "time"]),
        "\n".join(f"- {line}" for line in plan.assumptions),
    ]
    return "\n\n".join(blocks)


def _table(rows: list[list[str]], headers: list[str]) -> str:
    from tabulate import tabulate

    texts = 1 if headers[1] != "part" else 2
    align = ["left"] * texts + ["right"] * (len(headers) - texts)
    return str(tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=align))


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.2g} s"
