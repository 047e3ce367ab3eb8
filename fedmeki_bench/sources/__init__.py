"""One adapter a source data set: its folder layout and file formats in, labelled items and decoded records
out."""

from collections.abc import Mapping
from types import MappingProxyType

from fedmeki_bench.errors import UsageError, did_you_mean
from fedmeki_bench.sources._images import SIDE
from fedmeki_bench.sources._types import NO, YES, Adapter, Array, Description, Item, Listing, Record, Source
from fedmeki_bench.sources.chexpert import CheXpert
from fedmeki_bench.sources.covid19 import Covid19Radiography
from fedmeki_bench.sources.ecg_qa import EcgQa
from fedmeki_bench.sources.ptb_xl import PtbXl
from fedmeki_bench.sources.rsna import RsnaPneumonia
from fedmeki_bench.sources.slake import Slake
from fedmeki_bench.sources.vqa_rad import VqaRad
from fedmeki_bench.sources.yaib import YaibMortality24, YaibSepsis

__all__ = [
    "NO",
    "SIDE",
    "SOURCES",
    "YES",
    "Adapter",
    "Array",
    "Description",
    "Item",
    "Listing",
    "Record",
    "Source",
    "find_source",
]

SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        source.name: source
        for source in (
            Covid19Radiography(),
            RsnaPneumonia(),
            PtbXl(),
            YaibMortality24(),
            YaibSepsis(),
            CheXpert(),
            VqaRad(),
            Slake(),
            EcgQa(),
        )
    }
)
"""Every adapter by its name in task specs."""


def find_source(name: str) -> Source:
    """The adapter of a source.

    Raises:
        UsageError: no adapter of this name; names the close matches.
    """
    if name not in SOURCES:
        raise UsageError(f"no adapter for the source {name!r}", fix=did_you_mean(name, SOURCES))
    return SOURCES[name]
