"""Federated training: the aggregate, the proximal term, isolation, determinism."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from fedmeki_bench.data import Labelled
from fedmeki_bench.errors import BenchError
from fedmeki_bench.federation import (
    ClientTraining,
    ClientUpdate,
    aggregate,
    federated_round,
    state_bytes,
    train_client,
)
from fedmeki_bench.modeling.client import LocalModel
from tests.examples import make_encoders, make_examples, tensor_hash

TASK = "ecg_abnormal_detection"
CPU = torch.device("cpu")


def make_model() -> LocalModel:
    return LocalModel(make_encoders(16, modalities=["signal"]), [TASK], width=16, seed=0)


def make_client(
    first: int, count: int = 6, seen: list[str] | None = None
) -> dict[str, tuple[list[int], object]]:
    examples = make_examples(TASK, count, first=first)

    def read(rows: Sequence[int]) -> list[Labelled]:
        chosen = [examples[row] for row in rows]
        if seen is not None:
            seen.extend(one.inputs.id for one in chosen)
        return chosen

    return {TASK: (list(range(count)), read)}


def update(value: float, examples: int = 1, steps: int = 1) -> ClientUpdate:
    state = {
        "weight": torch.full((2,), value),
        "norm.running_mean": torch.full((1,), 10 * value),
        "norm.count": torch.tensor(steps),
    }
    return ClientUpdate(state, examples, None)


class TestAggregation:
    def test_the_mean_is_unweighted_as_in_the_paper(self) -> None:
        """Clients count the same, however many examples they have."""
        merged = aggregate([update(1.0, 1), update(4.0, 99)])
        assert merged["weight"].tolist() == [2.5, 2.5]

    def test_weighting_by_examples_is_an_option(self) -> None:
        """FedAvg's own weights."""
        assert aggregate([update(1.0, 1), update(4.0, 3)], "examples")["weight"].tolist() == [3.25, 3.25]

    def test_batch_statistics_are_averaged_and_counters_kept_whole(self) -> None:
        """Buffers travel too."""
        merged = aggregate([update(1.0, steps=3), update(2.0, steps=5)])
        assert merged["norm.running_mean"].tolist() == [15.0] and merged["norm.count"].item() == 5

    def test_the_order_of_the_clients_does_not_matter(self) -> None:
        """The mean is taken in double precision."""
        updates = [update(value) for value in (0.1, 0.7, 1e-8, 3.3)]
        assert torch.equal(aggregate(updates)["weight"], aggregate(updates[::-1])["weight"])

    def test_a_client_with_another_model_is_refused(self) -> None:
        """The message says which parameters differ."""
        with pytest.raises(BenchError, match=r"client 1[\s\S]*weight"):
            aggregate([update(1.0), ClientUpdate({"other": torch.zeros(1)}, 1, None)])
        with pytest.raises(BenchError, match="no client"):
            aggregate([])


class TestClient:
    def test_the_global_model_is_not_changed_by_a_client(self) -> None:
        """A client trains a copy."""
        model = make_model()
        before = tensor_hash(model.state_dict())
        train_client(model, make_client(0), ClientTraining(batch_size=2), seed=0, device=CPU)
        assert tensor_hash(model.state_dict()) == before

    def test_one_seed_gives_one_update(self) -> None:
        """Whatever the global random state."""
        states = []
        for noise in (1, 2):
            torch.manual_seed(noise)
            states.append(
                tensor_hash(
                    train_client(
                        make_model(), make_client(0), ClientTraining(batch_size=2), seed=3, device=CPU
                    ).state
                )
            )
        assert states[0] == states[1]

    def test_the_loss_falls(self) -> None:
        """A client learns its own examples."""
        settings = ClientTraining(learning_rate=1e-2, batch_size=6, epochs=1)
        one = train_client(make_model(), make_client(0), settings, seed=0, device=CPU)
        many = train_client(
            make_model(),
            make_client(0),
            ClientTraining(learning_rate=1e-2, batch_size=6, epochs=10),
            seed=0,
            device=CPU,
        )
        assert one.loss is not None and many.loss is not None and many.loss < one.loss

    def test_the_proximal_term_is_the_squared_norm(self) -> None:
        """After one step of plain gradient from a distance, its gradient is lambda times the distance."""
        from fedmeki_bench.federation.client import _squared_distance

        model = make_model()
        anchor = [parameter.detach() + 0.5 for parameter in model.parameters()]
        (0.3 / 2 * _squared_distance(model, anchor)).backward()
        for parameter in model.parameters():
            torch.testing.assert_close(parameter.grad, torch.full_like(parameter, -0.5 * 0.3))

    def test_a_strong_proximal_term_keeps_the_client_near_the_global_model(self) -> None:
        """FedProx moves less than FedAvg."""

        def distance(proximal: float) -> float:
            model = make_model()
            settings = ClientTraining(learning_rate=1e-2, batch_size=2, epochs=5, proximal=proximal)
            state = train_client(model, make_client(0), settings, seed=0, device=CPU).state
            return sum(
                float((state[name] - value).square().sum()) for name, value in model.named_parameters()
            )

        assert distance(10.0) < distance(0.0)


class TestRound:
    def test_each_client_sees_its_own_examples_only(self) -> None:
        """Every example is read by its own client, and only there."""
        seen: list[list[str]] = [[], []]
        clients = [make_client(0, seen=seen[0]), make_client(100, seen=seen[1])]
        self.run(make_model(), clients)
        assert {name.split("-")[1] for name in seen[0]} == {str(number) for number in range(6)}
        assert {name.split("-")[1] for name in seen[1]} == {str(number) for number in range(100, 106)}

    def test_the_round_leaves_the_mean_in_the_model_and_counts_its_bytes(self) -> None:
        """Bytes each way are the model's size times the clients."""
        model = make_model()
        size = state_bytes(model.state_dict())
        report = self.run(model, [make_client(0), make_client(100), make_client(200)])
        alone = [
            train_client(make_model(), make_client(first), ClientTraining(batch_size=3), seed=at, device=CPU)
            for at, first in enumerate((0, 100, 200))
        ]
        assert tensor_hash(model.state_dict()) == tensor_hash(aggregate(alone))
        assert (report.traffic.up, report.traffic.down) == (3 * size, 3 * size)

    def run(self, model: LocalModel, clients: list) -> object:
        settings = ClientTraining(batch_size=3)
        return federated_round(
            model,
            clients,
            settings,
            weighting="uniform",
            seed=lambda client: client,
            device=CPU,
            progress=lambda *_: None,
        )
