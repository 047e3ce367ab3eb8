"""The deal to clients: every row once, none empty, the same for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmeki_bench.data import PreparedStore, PreparedTask, deal
from fedmeki_bench.errors import BenchError, UsageError

SCHEMES: list[dict[str, Any]] = [
    {"scheme": "iid"},
    {"scheme": "dirichlet", "alpha": 0.3},
    {"scheme": "quantity", "alpha": 0.3},
    {"scheme": "demographic", "field": "age"},
    {"scheme": "demographic", "field": "sex"},
    {"scheme": "site"},
]


@pytest.fixture(scope="module")
def task(simulated_store: Path) -> PreparedTask:
    return PreparedStore.open(simulated_store).task("ecg_abnormal_detection")


@pytest.mark.parametrize("options", SCHEMES, ids=str)
def test_every_row_goes_to_exactly_one_client(task: PreparedTask, options: dict[str, Any]) -> None:
    rows = task.rows("private")
    clients = deal(task, rows, clients=2, seed=3, **options).clients
    assert sorted(row for hand in clients for row in hand) == sorted(rows) and all(clients)


@pytest.mark.parametrize("options", SCHEMES, ids=str)
def test_the_order_of_rows_does_not_matter(task: PreparedTask, options: dict[str, Any]) -> None:
    rows = task.rows("private")
    assert deal(task, rows, clients=2, seed=3, **options) == deal(task, rows[::-1], clients=2, seed=3, **options)


@given(clients=st.integers(1, 8), seed=st.integers(0, 10**6))
@settings(max_examples=20, deadline=None)
def test_iid_is_even(task: PreparedTask, clients: int, seed: int) -> None:
    sizes = [len(hand) for hand in deal(task, task.rows("private"), clients=clients, seed=seed).clients]
    assert max(sizes) - min(sizes) <= 1


def test_another_seed_is_another_deal(task: PreparedTask) -> None:
    rows = task.rows("private")
    assert deal(task, rows, clients=2, seed=1).hash != deal(task, rows, clients=2, seed=2).hash


def test_smaller_alpha_is_less_even(task: PreparedTask) -> None:
    def spread(alpha: float) -> int:
        hands = deal(task, task.rows("private"), clients=4, seed=5, scheme="quantity", alpha=alpha).clients
        return max(map(len, hands)) - min(map(len, hands))

    assert spread(1000.0) <= 6 < spread(0.2)


def test_a_site_is_never_shared(task: PreparedTask) -> None:
    rows = task.rows("private")
    hands = deal(task, rows, clients=2, seed=3, scheme="site").clients
    sites = [set(task.sites(hand)) for hand in hands]
    assert not sites[0] & sites[1]


def test_ages_are_ranges(task: PreparedTask) -> None:
    young, old = deal(task, task.rows("private"), clients=2, seed=3, scheme="demographic", field="age").clients
    ages = [[person["age"] for person in task.demographics(hand) if "age" in person] for hand in (young, old)]
    assert max(map(float, ages[0])) <= min(map(float, ages[1]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clients": 0}, "at least one client"),
        ({"scheme": "dirichlett"}, "did you mean dirichlet"),
        ({"alpha": 0.5}, "alpha"),
        ({"scheme": "dirichlet", "alpha": 0.0}, "alpha"),
        ({"scheme": "demographic"}, "takes a field"),
        ({"scheme": "demographic", "field": "agee"}, "did you mean age"),
        ({"field": "sex"}, "takes a field"),
    ],
)
def test_wrong_requests(task: PreparedTask, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        deal(task, task.rows("private"), **({"clients": 2, "seed": 0} | options))


def test_too_few(task: PreparedTask) -> None:
    with pytest.raises(BenchError, match="too few private items"):
        deal(task, task.rows("private")[:3], clients=5, seed=0)
    with pytest.raises(BenchError, match="fewer values of sex"):
        deal(task, task.rows("private"), clients=5, seed=0, scheme="demographic", field="sex")
