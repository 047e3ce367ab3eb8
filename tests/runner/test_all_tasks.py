"""From a clean folder to the tables of all twelve tasks, by the commands a user types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedmeki_bench.cli import main
from fedmeki_bench.specs import load_tasks


def call(*arguments: str) -> None:
    """One command; a SystemExit other than 0 fails the test."""
    try:
        main(list(arguments))
    except SystemExit as stop:
        assert not stop.code, arguments


def test_simulate_prepare_audit_and_run_all_twelve_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_network: None
) -> None:
    """One go: eight simulated sources, no leak, every task evaluated under its protocols."""
    monkeypatch.chdir(tmp_path)
    call("data", "simulate", "--out", "raw", "--size", "40", "--seed", "0")
    call("data", "prepare", "--root", "raw")
    call("data", "audit")
    run = ["run", "--method", "fedkim", "--profile", "demo", "--data", "prepared", "--foundation-model", "tiny"]
    call(*run, "--protocol", "all", "--rounds", "1", "--limit", "2", "--progress", "quiet")
    result = json.loads(next(tmp_path.glob("runs/*/result.json")).read_text())
    evaluated = {(one["protocol"], one["task"]) for one in result["evaluations"]}
    tasks = load_tasks().values()
    trained = {spec.id for spec in tasks if spec.role == "training"}
    assert evaluated == {(name, task) for name in ("single_task", "multi_task") for task in trained} | {
        ("zero_shot", spec.id) for spec in tasks if spec.role == "zero_shot"
    }
    assert not result["missing_tasks"]
