"""Every source's simulator, by source name."""

from __future__ import annotations

from collections.abc import Mapping

from fedmeki_bench.simulate._chexpert import CheXpertSimulator
from fedmeki_bench.simulate._covid19 import Covid19Simulator
from fedmeki_bench.simulate._ecg_qa import EcgQaSimulator
from fedmeki_bench.simulate._ptb_xl import PtbXlSimulator
from fedmeki_bench.simulate._rsna import RsnaSimulator
from fedmeki_bench.simulate._slake import SlakeSimulator
from fedmeki_bench.simulate._source import SourceSimulator
from fedmeki_bench.simulate._vqa_rad import VqaRadSimulator
from fedmeki_bench.simulate._yaib import YaibMortality24Simulator, YaibSepsisSimulator

__all__ = ["NEEDS", "SIMULATORS"]

SIMULATORS: Mapping[str, type[SourceSimulator]] = {
    simulator.source: simulator
    for simulator in (
        Covid19Simulator,
        RsnaSimulator,
        PtbXlSimulator,
        EcgQaSimulator,
        YaibMortality24Simulator,
        YaibSepsisSimulator,
        CheXpertSimulator,
        VqaRadSimulator,
        SlakeSimulator,
    )
}

NEEDS: Mapping[str, tuple[str, ...]] = {"ecg_qa": ("ptb_xl",)}
"""Source to the sources whose records it refers to."""
