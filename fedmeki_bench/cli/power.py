"""`fedmeki-bench power`: what difference a test set of this size can show."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fedmeki_bench.specs import TaskSpec

__all__ = ["command"]

TASKS = 12
"""Tests that Holm's correction is over."""

ASSUMPTIONS = (
    "The test is McNemar's exact test on items that both methods answer. Items are independent: divide n by "
    "the design effect where several belong to one patient. accuracy is the better method's; the other's "
    "lies the effect below. correlation says how alike the two fail. Under Holm the smallest of twelve "
    "p-values must pass a twelfth of the level. In text tasks an answer is right if it matches exactly."
)


@click.command(
    epilog="Examples:\n\n\b\n  fedmeki-bench power --task PED --effect 0.02\n"
    "  fedmeki-bench power --task MP --effect 0.01 --n 2000 --accuracy 0.92\n"
    "  fedmeki-bench power --effect 0.02"
)
@click.option("--task", "names", multiple=True, help="Task id or abbreviation, repeatable. Default: all.")
@click.option("--effect", type=float, required=True, help="Difference in accuracy, 0 to 1 (0.02: two points).")
@click.option("--n", type=int, help="Items of the test set. Default: the papers' test size.")
@click.option(
    "--accuracy",
    type=float,
    help="Accuracy of the better method, 0 to 1. Default: the best the papers print, 0.5 if none.",
)
@click.option(
    "--correlation",
    type=float,
    default=0.5,
    show_default=True,
    help="Correlation between the two methods' being right; 0 if they fail independently.",
)
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Two-sided level of the test.")
@click.option("--json", "as_json", is_flag=True, help="JSON: one object for one task, else a list.")
def command(
    names: tuple[str, ...],
    effect: float,
    n: int | None,
    accuracy: float | None,
    correlation: float,
    alpha: float,
    as_json: bool,
) -> None:
    """What a test set of this size can show.

    Prints the power of the paired test for the effect, alone and under Holm's correction over twelve tasks;
    the smallest effect found four times in five; and the items it would take to find this effect so often.
    """
    from tabulate import tabulate

    from fedmeki_bench.specs import load_tasks, select_tasks

    specs = select_tasks(names, load_tasks())
    rows = [_row(spec, effect, n, accuracy, correlation, alpha) for spec in specs.values()]
    if as_json:
        click.echo(json.dumps(rows[0] if len(names) == 1 else rows, indent=1))
        return
    table = [
        [
            row["short"],
            row["n"],
            f"{row['accuracy']:.3f}",
            f"{row['discordant']:.1%}",
            f"{row['power']:.1%}",
            f"{row['power_holm']:.1%}",
            "none" if row["minimum_effect"] is None else f"{row['minimum_effect']:.4f}",
            "over a million" if row["items_needed"] is None else row["items_needed"],
        ]
        for row in rows
    ]
    holm = f"power, Holm over {TASKS}"
    headers = ["task", "n", "accuracy", "one right", "power", holm, "smallest effect", "n needed"]
    click.echo(f"Effect {effect:g}, two-sided level {alpha:g}, correlation {correlation:g}\n")
    click.echo(tabulate(table, headers=headers, disable_numparse=True, colalign=("left", *["right"] * 7)))
    click.echo()
    for row in rows:
        click.echo(f"{row['short']}: n = {row['n_source']}; accuracy = {row['accuracy_source']}")
    columns = "one right: items that exactly one method answers right. n needed: for a power of 80%."
    notes = f"{columns} smallest effect: found with that power. {ASSUMPTIONS}"
    click.echo("\n" + click.wrap_text(notes, width=110))


def _row(
    spec: TaskSpec, effect: float, n: int | None, accuracy: float | None, correlation: float, alpha: float
) -> dict[str, Any]:
    from dataclasses import asdict

    from fedmeki_bench.metrics.power import analyse, discordance, power
    from fedmeki_bench.metrics.published import best_printed_accuracy

    size, size_source = (spec.paper.test, "the papers' test size") if n is None else (n, "given")
    if accuracy is None:
        best = best_printed_accuracy(spec.id)
        accuracy, source = best if best else (0.5, "0.5, as the papers print none")
    else:
        source = "given"
    found = analyse(size, effect, accuracy=accuracy, correlation=correlation, alpha=alpha)
    under_holm = power(size, discordance(accuracy, effect, correlation), alpha / TASKS)
    return {
        "task": spec.id,
        "short": spec.short,
        **asdict(found),
        "power_holm": under_holm,
        "n_source": size_source,
        "accuracy_source": source,
    }
