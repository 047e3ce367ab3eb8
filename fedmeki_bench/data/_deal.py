"""Who holds which private item: drawn once by content hash, the same for all rounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fedmeki_bench.data._index import TaskIndex
from fedmeki_bench.data._split import hash_order
from fedmeki_bench.errors import BenchError, UsageError
from fedmeki_bench.files import content_hash

__all__ = ["Deal", "DealScheme", "deal"]

DealScheme = Literal["iid", "dirichlet", "site", "demographic", "quantity"]


@dataclass(frozen=True)
class Deal:
    """Rows of a task by client.

    Attributes:
        clients: one tuple of rows a client.
        hash: SHA-256 over the ids each client holds.
    """

    clients: tuple[tuple[int, ...], ...]
    hash: str


def deal(
    task: TaskIndex, rows: Sequence[int], *, clients: int, seed: int, scheme: DealScheme = "iid"
) -> Deal:
    """Divide rows among clients, once for all rounds.

    Args:
        task: the task the rows belong to.
        rows: usually `task.rows("private")`, or a sample of it.
        clients: number of clients.
        seed: seed of the deal.
        scheme: `iid` deals evenly in hash order, as in the papers.

    Raises:
        UsageError: no client, or an unknown scheme.
        BenchError: fewer rows than clients.
    """
    if clients < 1:
        raise UsageError("a deal needs at least one client", found=clients)
    if scheme != "iid":
        raise UsageError(f"unknown deal scheme {scheme!r}", expected="iid")
    if len(rows) < clients:
        raise BenchError(
            f"{task.id} has too few private items",
            expected=f"at least {clients}, one a client",
            found=len(rows),
        )
    row_of = {label.id: row for row, label in zip(rows, task.labels(rows), strict=True)}
    order = hash_order(seed, row_of)
    hands = [order[client::clients] for client in range(clients)]
    return Deal(tuple(tuple(row_of[name] for name in hand) for hand in hands), content_hash(hands))
