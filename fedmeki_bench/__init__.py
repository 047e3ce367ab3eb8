"""fedmeki-bench: a benchmark for injecting federated medical knowledge into language models."""

__all__ = ["__version__"]

__version__ = "0.1.0"
