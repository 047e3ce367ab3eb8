"""No false alarm: whatever `submit` makes, `check` accepts, as a folder and as a zip."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedmeki_bench.submissions import Labels, as_markdown, bundle_runs, check_bundle, load_bundle
from tests.submissions.builders import EVALUATIONS, bundle_with_seeds, make_run
from tests.submissions.mutations import pack

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=30).map(
    lambda name: f"m{name}"
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seeds=st.lists(st.integers(0, 10**9), min_size=1, max_size=3, unique=True),
    n=st.integers(2, 20),
    scored=st.booleans(),
    names=st.lists(NAMES, min_size=1, max_size=3),
    evaluations=st.lists(st.sampled_from(EVALUATIONS), min_size=1, max_size=3, unique=True),
)
def test_a_bundle_as_made_is_accepted_and_verified(
    seeds: list[int], n: int, scored: bool, names: list[str], evaluations: list[tuple[str, str]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        runs = [make_run(root / str(seed), seed=seed, n=n, scored=scored, evaluations=evaluations) for seed in seeds]
        bundle = bundle_runs(runs, root / "bundle", authors=names, method_name=f"x {names[0]}"[:60], paper=names[-1])
        labels = Labels.from_folder(runs[0] / "labels")
        for path in (bundle, pack(bundle)):
            report = check_bundle(path, labels)
            assert report.verified, [fault.render() for fault in report.faults]
            assert len(report.evaluations) == len(seeds) * len(evaluations)


def test_without_labels_nothing_is_called_verified(tmp_path: Path) -> None:
    report = check_bundle(bundle_with_seeds(tmp_path, n=6))
    assert report.ok and not report.verified
    assert "NOT verified" in report.notes[0]
    assert "NOT verified" in as_markdown([report])


def test_labels_of_some_tasks_verify_those_and_name_the_others(tmp_path: Path) -> None:
    bundle = bundle_with_seeds(tmp_path, n=6)
    (tmp_path / "runs/0/labels/medvqa_rad.jsonl").unlink()
    report = check_bundle(bundle, Labels.from_folder(tmp_path / "runs/0/labels"))
    assert report.ok and not report.verified
    assert {row.task for row in report.evaluations if not row.verified} == {"medvqa_rad"}
    assert any("medvqa_rad" in note for note in report.notes)


def test_a_zip_may_hold_the_bundle_in_one_folder(tmp_path: Path) -> None:
    bundle = bundle_with_seeds(tmp_path, n=6)
    labels = Labels.from_folder(tmp_path / "runs/0/labels")
    assert check_bundle(pack(bundle, top="mine/"), labels).verified


def test_a_limited_run_is_accepted_with_a_note_and_only_for_the_first_items(tmp_path: Path) -> None:
    evaluations = [("multi_task", "covid_detection")]
    run = make_run(tmp_path / "run", n=6, evaluations=evaluations, config={"seed": 0, "limit": {"test": 6}})
    full = make_run(tmp_path / "full", n=24, evaluations=evaluations)
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    result["tasks"]["covid_detection"]["counts"]["test"] = 24
    (run / "result.json").write_text(json.dumps(result), encoding="utf-8")
    bundle = bundle_runs([run], tmp_path / "bundle", authors=["A"])
    report = check_bundle(bundle, Labels.from_folder(full / "labels"))
    assert report.verified
    assert any("first 6 of 24" in note for note in report.notes)
    lines = (full / "labels/covid_detection.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (full / "labels/covid_detection.jsonl").write_text("".join(reversed(lines)), encoding="utf-8")
    codes = {fault.code for fault in check_bundle(bundle, Labels.from_folder(full / "labels")).faults}
    assert codes == {"FB055", "FB056"}


def test_source_files_of_the_method_may_lie_beside_the_results(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "method.py").write_text("raise RuntimeError('never run')\n", encoding="utf-8")
    (out / "README.md").write_text("# Mine\n", encoding="utf-8")
    run = make_run(tmp_path / "run", n=6)
    bundle_runs([run], out, authors=["A"])
    assert (out / "method.py").is_file()
    report = check_bundle(out, Labels.from_folder(run / "labels"))
    assert report.verified, report.faults


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", r"\input{/etc/passwd} $x_1$ & 100% #1 ~^", "a|b`c`"])
def test_markup_in_names_is_kept_literally_and_rendered_harmless(name: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", n=6)
    bundle = bundle_runs([run], tmp_path / "bundle", authors=[name], method_name=name)
    assert load_bundle(bundle).manifest["method"]["name"] == name
    report = check_bundle(bundle)
    assert report.ok
    line = next(line for line in as_markdown([report]).splitlines() if line.startswith("Bundle "))
    assert name.replace("|", "\\|") in line
    fence = line.split("method ")[1].split(" ")[0].rstrip(name[0])
    assert set(fence[:1]) == {"`"}


def test_the_order_of_runs_does_not_matter(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / str(seed), seed=seed, n=6) for seed in (2, 0, 1)]
    one = bundle_runs(runs, tmp_path / "one" / "bundle", authors=["A"])
    two = bundle_runs(runs[::-1], tmp_path / "two" / "bundle", authors=["A"])
    assert (one / "manifest.json").read_bytes() == (two / "manifest.json").read_bytes()
