"""The command line: fast help, exit codes, one clear message an error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedmeki_bench.cli import VERBS, main


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, output and error output of one command."""
    try:
        main(list(arguments))
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_imports_nothing_heavy(verb: str) -> None:
    """No torch, datasets, pandas or scikit-learn behind --help, for any verb."""
    script = (
        "import sys\nfrom fedmeki_bench.cli import main\n"
        f"try:\n    main({[*([verb] if verb else []), '--help']!r})\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'datasets', 'pandas', 'sklearn', 'transformers', 'matplotlib', 'scipy'}\n"
        "heavy &= sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "Usage" in run.stdout


def test_the_module_is_the_console_script() -> None:
    """python -m fedmeki_bench."""
    run = subprocess.run([sys.executable, "-m", "fedmeki_bench", "--version"], capture_output=True, text=True)
    assert run.returncode == 0 and "fedmeki-bench" in run.stdout


def test_tasks_ls_show_and_validate(capsys: pytest.CaptureFixture[str]) -> None:
    """The three verbs of task specs."""
    code, out, _ = call(capsys, "tasks", "ls", "--json")
    assert code == 0 and len(json.loads(out)) == 12
    code, out, _ = call(capsys, "tasks", "show", "SNC")
    assert code == 0 and "attribute_type: noise" in out
    assert call(capsys, "tasks", "validate")[:2] == (0, "12 task specifications valid\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tsks"], "did you mean tasks"),
        (["tasks", "show", "covid"], "did you mean covid_detection"),
        (["run", "--method", "fedkin"], "did you mean"),
        (["run", "--method", "fedkim", "--limit", "1.0"], "not a valid integer"),
        (["run", "--method", "fedkim", "--set", "rank"], "name=value"),
        (["run", "--method", "fedkim", "--set", "ranks=4"], "did you mean rank"),
        (["run", "--method", "fedkim", "--tasks", "CDX"], "unknown task"),
        (["run", "--method", "fedkim", "--profile", "min"], "did you mean mini"),
        (["run", "--method", "fedkim", "--backbone", "fedsgd"], "fedavg"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    """One message, no traceback, nothing written."""
    monkeypatch.chdir(tmp_path)
    code, _, err = call(capsys, *arguments)
    assert code == 2 and message in err and "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_a_store_that_is_not_there_is_exit_code_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It says where it looked and which command makes one."""
    code, _, err = call(
        capsys, "run", "--method", "fedkim", "--data", str(tmp_path / "none"), "-o", str(tmp_path / "runs")
    )
    assert code == 1 and str(tmp_path / "none") in err and "data prepare" in err


def test_a_foundation_model_that_is_not_there(
    capsys: pytest.CaptureFixture[str], simulated_store: Path, tmp_path: Path, no_network: None
) -> None:
    """Exit code 2; nothing is downloaded."""
    arguments = [
        "run",
        "--method",
        "fedkim",
        "--tasks",
        "EAD",
        "--data",
        str(simulated_store),
        "-o",
        str(tmp_path),
        "--foundation-model",
        "no/such",
    ]
    code, _, err = call(capsys, *arguments)
    assert code == 2 and "cannot be loaded" in err and "--download" in err


def test_debug_shows_the_traceback() -> None:
    """Wherever it stands on the line."""
    command = [sys.executable, "-m", "fedmeki_bench", "tasks", "show", "nothing", "--debug"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode != 0 and "Traceback" in run.stderr


def test_a_full_disk_is_one_message_and_leaves_what_was_there(
    capsys: pytest.CaptureFixture[str], simulated_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1, the file, what to do."""
    import errno
    import os

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    arguments = [
        "run",
        "--method",
        "majority",
        "--tasks",
        "EAD",
        "--data",
        str(simulated_store),
        "-o",
        str(tmp_path),
        "--profile",
        "demo",
    ]
    code, _, err = call(capsys, *arguments)
    assert code == 1 and "No space left" in err and "free disk space" in err
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_run_from_the_command_line_ends_with_tables(
    capsys: pytest.CaptureFixture[str], simulated_store: Path, tmp_path: Path
) -> None:
    """On screen and on disk; JSON-lines progress is machine-readable."""
    arguments = [
        "run",
        "--method",
        "majority",
        "--tasks",
        "EAD,MP",
        "--data",
        str(simulated_store),
        "-o",
        str(tmp_path),
        "--profile",
        "demo",
        "--progress",
        "json",
    ]
    code, out, err = call(capsys, *arguments)
    assert code == 0 and "always-yes" in out and "majority" in out
    assert all(json.loads(line) for line in err.splitlines())
    tables = next(tmp_path.glob("*/tables"))
    assert {path.suffix for path in tables.iterdir()} >= {".md", ".tex"}
