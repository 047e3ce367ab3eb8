"""FedPlug: the encoders are plugged into the frozen model, nothing else is added (FedKIM, section 4, baselines)."""

from __future__ import annotations

from fedmeki_bench.methods.base import FoundationInjection

__all__ = ["FedPlug"]


class FedPlug(FoundationInjection):
    """Aggregated encoders, aligned with the frozen model on public data. FedMeKI's columns with superscript F."""

    name = "fedplug"
