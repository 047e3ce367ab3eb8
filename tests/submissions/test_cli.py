"""`submit` and `check` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedmeki_bench.cli import main
from tests.submissions.builders import bundle_with_seeds, make_run


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return int(stop.value.code or 0), printed.out, printed.err


def succeed(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def test_submit_then_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(tmp_path / str(seed), seed=seed, n=6) for seed in (0, 1)]
    out = tmp_path / "submissions" / "mine"
    printed = succeed(capsys, "submit", *runs, "--out", out, "--author", "Ada", "--author", "Ben")
    assert "mine (run), seeds 0, 1" in printed and "fedmeki-bench check" in printed
    printed = succeed(capsys, "check", out, "--labels", runs[0] / "labels")
    assert "ACCEPTED, every score verified" in printed


def test_a_refused_bundle_exits_with_3_and_names_every_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = bundle_with_seeds(tmp_path, n=6)
    (bundle / "notes.pkl").touch()
    (bundle / "seed-0/predictions/multi_task/covid_detection.jsonl").chmod(0o755)
    code, out, err = call(capsys, "check", bundle)
    assert code == 3
    assert "FB010" in out and "FB011" in out and "FB014" in out
    assert "3 faults in 1 of 1 bundles" in err


def test_json_and_markdown_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = bundle_with_seeds(tmp_path, n=6)
    (bundle / "notes.pkl").touch()
    _, out, _ = call(capsys, "check", bundle, "--json")
    report = json.loads(out)[0]
    assert {fault["code"] for fault in report["faults"]} == {"FB011", "FB014"}
    assert all(fault["fix"] and fault["where"] for fault in report["faults"])
    _, out, _ = call(capsys, "check", bundle, "--markdown")
    assert "| FB011 | `notes.pkl` |" in out


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["submit", "--out", "x", "--author", "A"], "neither"),
        (["submit", ".", "--out", "x"], "author"),
        (["submit", ".", "--out", "x", "--author", "A", "--revision", "1"], "--predictions only"),
        (["submit", "--predictions", ".", "--out", "x", "--author", "A"], "--data and --method-name"),
        (["check", ".", "--json", "--markdown"], "not both"),
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, *arguments)
    assert code == 2 and message in err


def test_names_are_compared_with_the_folder_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = bundle_with_seeds(tmp_path, n=6)
    run = make_run(tmp_path / "run", n=6)
    succeed(capsys, "submit", run, "--out", tmp_path / "new", "--author", "Another")
    code, out, _ = call(capsys, "check", tmp_path / "new", "--against", first.parent)
    assert code == 3 and "FB039" in out
