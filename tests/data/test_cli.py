"""`fedmeki-bench data` as a user runs it: messages, exit codes, streams."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fedmeki_bench.cli import main


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
        raise SystemExit(0)
    assert stop.value.code is None or isinstance(stop.value.code, int)
    return stop.value.code or 0


def test_prepare_ls_audit(simulated_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "prepare", "--root", simulated_corpus, "--out", tmp_path / "out", "--tasks", "CD,EAD,EBD") == 0
    printed = capsys.readouterr()
    assert "ptb_xl (simulated)" in printed.out and "unused: group in a training part" in printed.out
    assert printed.err == ""
    assert run("data", "ls", "--root", simulated_corpus, "--data", tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert "EAD" in printed.out and "licence: CC BY 4.0" in printed.out
    assert run("data", "audit", "--data", tmp_path / "out") == 0
    assert "none" in capsys.readouterr().out


def test_a_leak_exits_with_3(simulated_corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "audit", "--root", simulated_corpus, "--scheme", "released", "--tasks", "LOD") == 3
    printed = capsys.readouterr()
    assert "NOT ALLOWED" in printed.out and "leaks that the task specs do not allow" in printed.err


def test_corrupt_records_exit_with_1_and_can_be_skipped(
    simulated_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = Path(shutil.copytree(simulated_corpus / "vqa-rad", tmp_path / "raw"))
    path = sorted((raw / "images").iterdir())[0]
    path.write_bytes(b"")
    options = ("data", "prepare", "--root", raw, "--out", tmp_path / "out", "--tasks", "MR")
    assert run(*options) == 1
    message = capsys.readouterr().err
    assert "--skip-corrupt 1" in message and str(path) in message and "Traceback" not in message
    assert run(*options, "--skip-corrupt", 1) == 0
    assert "their records are corrupt" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prepare", "--root", ".", "--tasks", "XYZ"), "unknown task 'XYZ'"),
        (("prepare", "--root", ".", "--workers", "0"), "--workers"),
        (("prepare",), "--root"),
        (("audit", "--scheme", "released"), "a store has its scheme already"),
        (("simulate", "--out", "x", "--size", "big"), "small, paper, or a whole number"),
    ],
)
def test_wrong_usage_exits_with_2(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("data", *arguments) == 2
    assert message in capsys.readouterr().err


def test_missing_root_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "prepare", "--root", tmp_path / "nowhere", "--out", tmp_path / "out") == 1
    assert "the data folder does not exist" in capsys.readouterr().err


def test_json(simulated_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ("prepare", "--root", simulated_corpus, "--out", tmp_path / "out", "--tasks", "MR"),
        ("ls", "--root", simulated_corpus, "--data", tmp_path / "out"),
        ("audit", "--data", tmp_path / "out"),
    ):
        assert run("data", *arguments, "--json") == 0
        assert isinstance(json.loads(capsys.readouterr().out), dict)
