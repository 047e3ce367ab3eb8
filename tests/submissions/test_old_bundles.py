"""A leaderboard outlives its code: bundles of every schema version ever released load for ever.

`fixtures/schema-<n>/bundle` was made when version n was released. Never change or delete one.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fedmeki_bench.errors import FaultsError
from fedmeki_bench.submissions import SCHEMA_VERSION, Labels, check_bundle, load_bundle
from fedmeki_bench.submissions._manifest import READERS

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = sorted(int(path.name.removeprefix("schema-")) for path in FIXTURES.glob("schema-*"))

# A task may get a new version, or a score a new definition: then old numbers are no longer comparable, and
# the checker says so; the bundle itself still reads.
OF_ITS_TIME = {"FB034", "FB035", "FB036", "FB074", "FB075"}


def test_every_schema_version_has_a_reader_and_a_fixture() -> None:
    assert VERSIONS == sorted(READERS) == list(range(1, SCHEMA_VERSION + 1))


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_bundle_loads(version: int) -> None:
    bundle = load_bundle(FIXTURES / f"schema-{version}" / "bundle")
    assert bundle.manifest["schema_version"] == SCHEMA_VERSION
    assert [result["seed"] for result in bundle.results] == bundle.manifest["seeds"]
    for result in bundle.results:
        for evaluation in result["evaluations"]:
            rows = list(bundle.predictions(result["seed"], evaluation["protocol"], evaluation["task"]))
            assert len(rows) == evaluation["n"]


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_bundle_has_no_fault_but_its_age(version: int) -> None:
    folder = FIXTURES / f"schema-{version}"
    report = check_bundle(folder / "bundle", Labels.from_folder(folder / "labels"))
    assert {fault.code for fault in report.faults} <= OF_ITS_TIME


def test_the_first_bundle_reads_as_it_was_written() -> None:
    bundle = load_bundle(FIXTURES / "schema-1" / "bundle")
    assert bundle.manifest["method"]["name"] == "First Method"
    assert bundle.manifest["seeds"] == [0, 1]
    first = next(bundle.predictions(0, "multi_task", "covid_detection"))
    assert (first.id, first.answer, first.score) == ("covid_detection-0000", "Yes", 0.5900050325288886)


def test_what_is_no_bundle_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FaultsError, match="FB012"):
        load_bundle(tmp_path)
