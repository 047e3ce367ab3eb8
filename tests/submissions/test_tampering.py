"""Every kind of tampering is found, with the code that belongs to it, and nothing else breaks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fedmeki_bench.submissions import FIXES, Labels, as_json, as_markdown, as_text, check_bundle
from tests.submissions.builders import bundle_with_seeds, reseal
from tests.submissions.mutations import MUTATIONS, Mutation


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("original")
    bundle_with_seeds(root, (0, 1), n=12)
    return root


@pytest.fixture(scope="module")
def labels(original: Path) -> Labels:
    return Labels.from_folder(original / "runs/0/labels")


def test_there_are_at_least_sixty_kinds_of_tampering() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) >= 60


def test_every_fault_code_is_provoked_by_some_tampering() -> None:
    assert {mutation.code for mutation in MUTATIONS} == set(FIXES)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_tampering_is_found(mutation: Mutation, original: Path, labels: Labels, tmp_path: Path) -> None:
    bundle = tmp_path / "mine"
    shutil.copytree(original / "submissions" / "mine", bundle)
    path = mutation.apply(bundle) or bundle
    if mutation.sealed and mutation.name != "many_large_files":
        reseal(bundle)
    report = check_bundle(path, labels)
    assert mutation.code in {fault.code for fault in report.faults}
    assert not report.ok and not report.verified
    for text in (as_text([report]), as_markdown([report]), str(as_json([report]))):
        assert mutation.code in text
        assert "\x1b" not in text and "\u202e" not in text


@pytest.mark.parametrize("mutation", [m for m in MUTATIONS if not m.sealed], ids=lambda mutation: mutation.name)
def test_tampering_without_new_hashes_is_found_without_labels(
    mutation: Mutation, original: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "mine"
    shutil.copytree(original / "submissions" / "mine", bundle)
    path = mutation.apply(bundle) or bundle
    assert mutation.code in {fault.code for fault in check_bundle(path).faults}
