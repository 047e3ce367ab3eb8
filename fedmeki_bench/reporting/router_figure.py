"""The router's choices as a heat map: how far each expert's weight stands from an even mixture, by task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_router"]

ROUTED_PROTOCOLS = ("multi_task", "zero_shot")
"""Both are the multi-task model's; a single-task model has a router of its own with one row."""


def _weights(detail: Mapping[str, Any], short: Mapping[str, Any]) -> dict[str, list[float]]:
    """Task abbreviation to expert weights alpha (FedKIM, Eq. 4), of the first seed."""
    found = {}
    for one in detail["seeds"][0]["evaluations"]:
        router = one.get("diagnostics", {}).get("router")
        if router and one["protocol"] in ROUTED_PROTOCOLS:
            found[str(short.get(one["task"], {}).get("short", one["task"]))] = list(router)
    return found


def draw_router(record: Mapping[str, Any]) -> Figure | None:
    """Expert weights of the first routed entry, in percent above or below 1/P; None if nothing routes."""
    import numpy as np
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.figure import Figure as NewFigure

    routed = (_weights(detail, record["tasks"]) for _, detail in sorted(record["details"].items()))
    weights = next((found for found in routed if found), None)
    if weights is None:
        return None
    alpha = np.array(list(weights.values()))
    excess = 100 * (alpha * alpha.shape[1] - 1)
    # The scale follows the data and is printed: a nearly even router must not look decided.
    limit = max(float(np.abs(excess).max()), 1e-3)
    figure = NewFigure(figsize=(6.4, 0.9 + 0.28 * len(weights)))
    panel = figure.add_subplot()
    image = panel.imshow(excess, cmap="PuOr", norm=TwoSlopeNorm(0, -limit, limit), aspect="auto")
    panel.set_yticks(range(len(weights)), list(weights))
    panel.set_xticks(range(alpha.shape[1]), [str(expert + 1) for expert in range(alpha.shape[1])])
    panel.set_xlabel("expert")
    panel.tick_params(length=0)
    figure.colorbar(image, label=f"% above or below 1/{alpha.shape[1]}")
    return figure
