"""Federated training of the local model: client updates, aggregation, and what travels."""

from fedmeki_bench.federation.aggregate import aggregate
from fedmeki_bench.federation.client import ClientData, ClientTraining, ClientUpdate, train_client
from fedmeki_bench.federation.round import RoundReport, federated_round
from fedmeki_bench.federation.traffic import Traffic, state_bytes

__all__ = [
    "ClientData",
    "ClientTraining",
    "ClientUpdate",
    "RoundReport",
    "Traffic",
    "aggregate",
    "federated_round",
    "state_bytes",
    "train_client",
]
