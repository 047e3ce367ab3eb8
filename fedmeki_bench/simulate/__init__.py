"""Simulated source data sets in the sources' own layouts and formats, with a signal of known strength."""

from fedmeki_bench.simulate._latent import DEFAULT_SIGNAL, bayes_accuracy, bayes_auroc
from fedmeki_bench.simulate._run import RECORD, SMALL, UNFINISHED, SimulationReport, simulate
from fedmeki_bench.simulate._source import TaskTruth
from fedmeki_bench.simulate._sources import SIMULATORS

__all__ = [
    "DEFAULT_SIGNAL",
    "RECORD",
    "SIMULATORS",
    "SMALL",
    "UNFINISHED",
    "SimulationReport",
    "TaskTruth",
    "bayes_accuracy",
    "bayes_auroc",
    "simulate",
]
