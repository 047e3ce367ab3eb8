"""Making bundles: what is refused, what is written, and that nothing private goes in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fedmeki_bench.errors import BenchError, FaultsError, UsageError
from fedmeki_bench.submissions import Claim, bundle_runs, check_bundle, claims_in, load_bundle
from tests.submissions.builders import bundle_with_seeds, make_run

AUTHORS = ["Ada Author"]


def edit(run: Path, change: dict[str, Any]) -> Path:
    path = run / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    return run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", n=6)


def test_a_bundle_holds_no_label_and_no_data(tmp_path: Path) -> None:
    bundle = bundle_with_seeds(tmp_path, (0, 1), n=6)
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert not any("label" in name for name in files)
    for path in bundle.rglob("*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert set(json.loads(line)) <= {"id", "answer", "score"}


def test_a_bundle_names_no_folder_of_its_makers_machine(tmp_path: Path) -> None:
    config = {"seed": 0, "image_weights": "/home/ada/secret/deit.bin", "data": "C:\\Users\\ada\\prepared"}
    run = make_run(tmp_path / "run", n=6, config=config, method="/home/ada/secret/mine")
    bundle = bundle_runs([run], tmp_path / "bundle", authors=AUTHORS)
    text = "".join(path.read_text(encoding="utf-8") for path in bundle.rglob("*") if path.is_file())
    assert "secret" not in text and "Users" not in text and "deit.bin" in text
    assert load_bundle(bundle).manifest["method"]["name"] == "mine"


def test_random_weights_are_refused(run: Path, tmp_path: Path) -> None:
    model = json.loads((run / "result.json").read_text(encoding="utf-8"))["foundation_model"]
    edit(run, {"foundation_model": {**model, "random_weights": True}})
    with pytest.raises(UsageError, match="random"):
        bundle_runs([run], tmp_path / "bundle", authors=AUTHORS)


def test_runs_that_differ_are_refused_with_every_difference(tmp_path: Path) -> None:
    one, two = make_run(tmp_path / "0", n=6), make_run(tmp_path / "1", n=6, seed=1)
    edit(two, {"backbone": "fedprox", "profile": "paper", "config": {"seed": 1, "rounds": 10}})
    with pytest.raises(FaultsError) as caught:
        bundle_runs([one, two], tmp_path / "bundle", authors=AUTHORS)
    assert [fault.field for fault in caught.value.faults] == ["backbone", "config.rounds", "profile"]


def test_one_seed_twice_is_refused(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, n=6) for name in ("0", "1")]
    with pytest.raises(FaultsError, match="seed 0"):
        bundle_runs(runs, tmp_path / "bundle", authors=AUTHORS)


def test_edited_predictions_are_refused(run: Path, tmp_path: Path) -> None:
    path = run / "predictions/multi_task/covid_detection.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("Yes", "No"), encoding="utf-8")
    with pytest.raises(BenchError, match="not those the run scored"):
        bundle_runs([run], tmp_path / "bundle", authors=AUTHORS)
    assert not (tmp_path / "bundle").exists()


def test_an_edited_result_is_refused(run: Path, tmp_path: Path) -> None:
    text = (run / "result.json").read_text(encoding="utf-8")
    result = json.loads(text)
    result["evaluations"][0]["scores"]["accuracy"] |= {"value": 1.0, "low": None, "high": None}
    edit(run, result)
    with pytest.raises(BenchError, match="does not follow from its predictions"):
        bundle_runs([run], tmp_path / "bundle", authors=AUTHORS)


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(UsageError, match="not a finished run"):
        bundle_runs([tmp_path / "run"], tmp_path / "bundle", authors=AUTHORS)


def test_a_taken_place_is_left_alone(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    (out / "seed-0").mkdir(parents=True)
    with pytest.raises(UsageError, match="taken"):
        bundle_runs([run], out, authors=AUTHORS)
    assert list(out.iterdir()) == [out / "seed-0"]


@pytest.mark.parametrize("name", ["fedkim", "FedPlug L", "always yes", "fedkim-pub"])
def test_a_plug_in_cannot_take_the_name_of_a_method_that_ships(name: str, run: Path, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="FB039"):
        bundle_runs([run], tmp_path / "bundle", authors=AUTHORS, method_name=name)


def test_a_method_that_ships_keeps_its_name(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", n=6, method="fedkim")
    bundle = bundle_runs([run], tmp_path / "bundle", authors=AUTHORS)
    assert load_bundle(bundle).manifest["method"]["origin"] == "built-in"
    with pytest.raises(BenchError, match="FB039"):
        bundle_runs([run], tmp_path / "other", authors=AUTHORS, method_name="renamed")


def test_the_name_of_another_bundle_is_taken(tmp_path: Path) -> None:
    first = bundle_with_seeds(tmp_path, n=6)
    run = make_run(tmp_path / "run", n=6, method="Mi_ne")
    with pytest.raises(BenchError, match="FB039"):
        bundle_runs([run], tmp_path / "submissions/second", authors=["Somebody Else"])
    second = bundle_runs([run], tmp_path / "elsewhere", authors=["Somebody Else"])
    taken = claims_in(first.parent)
    assert taken == [(first.resolve(), Claim.of("mine", load_bundle(first).manifest))]
    assert {fault.code for fault in check_bundle(second, others=taken).faults} == {"FB039"}
    assert check_bundle(first, others=taken).ok


def test_authors_may_add_rows_to_their_method(tmp_path: Path) -> None:
    first = bundle_with_seeds(tmp_path, n=6)
    run = make_run(tmp_path / "run", n=6, backbone="fedprox")
    second = bundle_runs([run], first.parent / "second", authors=["Ada Author", "Ben Author"])
    assert check_bundle(second, others=claims_in(first.parent)).ok
