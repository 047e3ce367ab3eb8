"""Who holds which private item: drawn once, the same for all rounds.

Items are put in hash order first, so a deal depends on (seed, ids) and not on file order. The non-IID deals
are those of the federated learning literature: by label or by quantity with a Dirichlet distribution (Hsu et
al. 2019; Li et al. 2022), by site, or by a demographic field.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fedmeki_bench.data._index import TaskIndex
from fedmeki_bench.data._split import hash_order
from fedmeki_bench.errors import BenchError, UsageError, did_you_mean
from fedmeki_bench.files import content_hash

__all__ = ["DEFAULT_ALPHA", "Deal", "DealScheme", "deal"]

DealScheme = Literal["iid", "dirichlet", "site", "demographic", "quantity"]

DEFAULT_ALPHA = 0.5
"""Concentration of the Dirichlet distribution: smaller is less even, 100 is nearly IID."""

DRAWS = 1000
"""Draws tried until no client is empty."""

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Deal:
    """Rows of a task by client.

    Attributes:
        clients: one tuple of rows a client, none empty; together every row once.
        hash: SHA-256 over the ids each client holds.
    """

    clients: tuple[tuple[int, ...], ...]
    hash: str


def deal(
    task: TaskIndex,
    rows: Sequence[int],
    *,
    clients: int,
    seed: int,
    scheme: DealScheme = "iid",
    alpha: float | None = None,
    field: str | None = None,
) -> Deal:
    """Divide rows among clients, once for all rounds.

    Args:
        task: the task the rows belong to.
        rows: usually `task.rows("private")`, or a sample of it.
        clients: number of clients.
        seed: seed of the deal.
        scheme: `iid` deals evenly in hash order, as in the papers; `dirichlet` draws each label's shares;
            `quantity` draws the clients' sizes, labels IID; `site` gives every site to one client;
            `demographic` does so with a field's values, numbers cut into ranges of equal count.
        alpha: concentration for `dirichlet` and `quantity` (default 0.5).
        field: the demographic field for `demographic`, such as `sex` or `age`.

    Raises:
        UsageError: no client, an unknown scheme, or an argument that the scheme does not take.
        BenchError: fewer rows, sites or values than clients, or only deals that leave a client empty.
    """
    _check_arguments(clients, scheme, alpha, field)
    if len(rows) < clients:
        expected = f"at least {clients}, one a client"
        raise BenchError(f"{task.id} has too few private items", expected=expected, found=len(rows))
    row_of = {label.id: row for row, label in zip(rows, task.labels(rows), strict=True)}
    order = hash_order(seed, row_of)
    ordered = [row_of[name] for name in order]
    random = np.random.default_rng(seed)
    concentration = DEFAULT_ALPHA if alpha is None else alpha
    if scheme == "iid":
        hands = [ordered[client::clients] for client in range(clients)]
    elif scheme == "quantity":
        hands = _by_shares(task, [ordered], clients, concentration, random)
    elif scheme == "dirichlet":
        hands = _by_shares(task, _by_target(task, ordered), clients, concentration, random)
    elif scheme == "site":
        sites = [site or UNKNOWN for site in task.sites(ordered)]
        hands = _by_value(task, ordered, sites, clients, "sites")
    else:
        assert field is not None
        hands = _by_field(task, ordered, clients, field)
    ids = {row: name for name, row in row_of.items()}
    return Deal(tuple(tuple(hand) for hand in hands), content_hash([[ids[row] for row in hand] for hand in hands]))


def _check_arguments(clients: int, scheme: str, alpha: float | None, field: str | None) -> None:
    if clients < 1:
        raise UsageError("a deal needs at least one client", found=clients)
    if scheme not in get_args(DealScheme):
        raise UsageError(f"unknown deal scheme {scheme!r}", fix=did_you_mean(scheme, get_args(DealScheme)))
    if alpha is not None and (scheme not in ("dirichlet", "quantity") or not 0 < alpha < float("inf")):
        raise UsageError(
            "alpha is a positive number of the schemes dirichlet and quantity", found=f"{alpha} for {scheme}"
        )
    if (field is None) != (scheme != "demographic"):
        raise UsageError("the scheme demographic, and no other, takes a field", found=f"{field} for {scheme}")


def _by_target(task: TaskIndex, rows: Sequence[int]) -> list[list[int]]:
    """Rows by target, or by question type for text tasks, whose answers hardly repeat."""
    classes: dict[str, list[int]] = defaultdict(list)
    for row, label, question in zip(rows, task.labels(rows), task.questions(rows), strict=True):
        classes[label.target if question is None else label.question_type or UNKNOWN].append(row)
    return [classes[name] for name in sorted(classes)]


def _by_shares(
    task: TaskIndex, classes: Sequence[Sequence[int]], clients: int, alpha: float, random: np.random.Generator
) -> list[list[int]]:
    """Cut every class at shares drawn from a symmetric Dirichlet distribution, again until no client is
    empty.
    """
    for _ in range(DRAWS):
        hands: list[list[int]] = [[] for _ in range(clients)]
        for rows in classes:
            shares: NDArray[np.float64] = random.dirichlet(np.full(clients, alpha))
            cuts = np.rint(np.cumsum(shares)[:-1] * len(rows)).astype(int)
            for hand, block in zip(hands, np.split(np.asarray(rows), cuts), strict=True):
                hand.extend(int(row) for row in block)
        if all(hands):
            return hands
    raise BenchError(
        f"{task.id}: every one of {DRAWS} deals leaves a client without items",
        found=f"{sum(map(len, classes))} items, {clients} clients, alpha {alpha}",
        fix="use fewer clients or a larger alpha",
    )


def _by_field(task: TaskIndex, rows: Sequence[int], clients: int, field: str) -> list[list[int]]:
    people = task.demographics(rows)
    known = {name for person in people for name in person}
    if field not in known:
        raise UsageError(f"{task.id} has no demographic field {field!r}", fix=did_you_mean(field, known))
    values = [person.get(field) for person in people]
    if any(isinstance(value, str) for value in values):
        return _by_value(task, rows, [str(value or UNKNOWN) for value in values], clients, f"values of {field}")
    # Rows without a number come last, in hash order like equal numbers: `sorted` keeps the order of ties.
    ranked = sorted(range(len(rows)), key=lambda number: _or_last(values[number]))
    return [[rows[number] for number in block] for block in np.array_split(np.asarray(ranked), clients)]


def _or_last(value: str | float | None) -> float:
    return float("inf") if value is None else float(value)


def _by_value(task: TaskIndex, rows: Sequence[int], values: Sequence[str], clients: int, what: str) -> list[list[int]]:
    """Every value whole to one client: the largest first, each to the client that holds the fewest items."""
    by_value: dict[str, list[int]] = defaultdict(list)
    for row, value in zip(rows, values, strict=True):
        by_value[value].append(row)
    if len(by_value) < clients:
        raise BenchError(
            f"{task.id} has fewer {what} than there are clients",
            expected=f"at least {clients}",
            found=f"{len(by_value)}: {', '.join(sorted(by_value))}",
            fix="use fewer clients or another scheme",
        )
    hands: list[list[int]] = [[] for _ in range(clients)]
    for value in sorted(by_value, key=lambda name: (-len(by_value[name]), name)):
        min(hands, key=len).extend(by_value[value])
    return hands
