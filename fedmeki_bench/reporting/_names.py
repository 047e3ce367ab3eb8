"""How things are called in tables: metrics, methods, kinds of rows, protocols; one place for all formats."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

__all__ = [
    "BACKBONES",
    "COST_METRICS",
    "KIND_LABELS",
    "METHODS",
    "METRICS",
    "PROTOCOLS",
    "SHOWN_METRICS",
    "arrow",
    "clean_name",
    "method_label",
    "metric_label",
    "sort_metrics",
]

METRICS = {
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "balanced_accuracy": "Bal. acc.",
    "mcc": "MCC",
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier",
    "ece": "ECE",
    "bleu": "BLEU",
    "rouge1": "ROUGE",
    "meteor": "METEOR",
    "exact_match": "Exact",
    "token_f1": "Token F1",
    "mean_balanced_accuracy": "Mean bal. acc. (%)",
    "trained_millions": "Trained (M)",
    "traffic_megabytes": "Traffic (MB)",
    "minutes": "Time (min)",
    "memory_gigabytes": "Memory (GB)",
    "n": "Items",
}
"""Display name of a metric, in the order of columns; `n` is the number of test items, not a score."""

SHOWN_METRICS = (
    *("accuracy", "precision", "recall", "f1", "balanced_accuracy", "mcc", "auroc", "auprc"),
    *("bleu", "rouge1", "meteor", "exact_match", "n"),
)
"""What tables show unless asked: the papers' metrics, and those that a constant answer cannot win."""

COST_METRICS = ("trained_millions", "traffic_megabytes", "minutes", "memory_gigabytes")

LOWER_IS_BETTER = ("brier", "ece", *COST_METRICS)

METHODS = {
    "fedplug": "FedPlug",
    "fedplug_l": "FedPlug_L",
    "fedkim": "FedKIM",
    "fedkim_pub": "FedKIM_pub",
    "fedkim_t": "FedKIM_T",
    "fedkim_m": "FedKIM_M",
    "federated_plain": "Federated",
    "federated_plus": "Federated+",
    "federated_star": "Federated*",
}
"""Display name of a method as the papers write it; any other method is shown under its own name."""

KIND_LABELS = {
    "own": "own run",
    "submission": "submission",
    "released": "released log re-scored",
    "constant": "constant",
    "published": "published",
}
"""What kind of row it is, in the order in which kinds stand in a table."""

BACKBONES = {"fedavg": "FedAvg", "fedprox": "FedProx"}

PROTOCOLS = {
    "multi_task": "fine-tuning, multi-task",
    "single_task": "fine-tuning, single-task",
    "zero_shot": "zero-shot",
    "released": "released prediction logs (their training is not recorded):",
}


def clean_name(name: str) -> str:
    """A name from a file made safe for one line: control and direction-changing characters become visible.

    Escaping for Markdown, LaTeX or HTML is the renderer's work and comes after this.
    """
    hidden = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    shown = [f"[U+{ord(char):04X}]" if unicodedata.category(char) in hidden else char for char in name]
    return "".join(shown).strip() or "(no name)"


def method_label(name: str) -> str:
    """A method's display name."""
    return METHODS.get(name) or clean_name(name)


def metric_label(name: str) -> str:
    """A metric's display name; an unknown one is shown with spaces for underscores."""
    return METRICS.get(name) or clean_name(name).replace("_", " ")


def arrow(metric: str) -> str:
    """Which way is better: `↑`, `↓`, or nothing for the number of items."""
    if metric == "n":
        return ""
    return "↓" if metric in LOWER_IS_BETTER else "↑"


def sort_metrics(names: Iterable[str]) -> list[str]:
    """Metrics without repeats in the order of `METRICS`; unknown ones after the scores, alphabetically."""
    order = {name: rank for rank, name in enumerate(METRICS)}
    unknown = order["n"] - 0.5
    return sorted(set(names), key=lambda name: (order.get(name, unknown), name))
