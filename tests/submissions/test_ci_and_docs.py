"""The workflow never gives submitted files a chance to run, and the page lists every fault code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from fedmeki_bench.submissions import FIXES

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github/workflows/check-submissions.yml"


def workflow() -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    return loaded


def test_the_token_can_only_read() -> None:
    assert workflow()["permissions"] == {"contents": "read"}
    assert all("permissions" not in job for job in workflow()["jobs"].values())
    assert "secrets." not in WORKFLOW.read_text(encoding="utf-8")


def test_it_runs_without_the_base_repositorys_rights() -> None:
    # YAML reads the key `on` as true.
    assert set(workflow()[True]) == {"pull_request"}


def test_nothing_is_installed_or_run_from_the_submission() -> None:
    for step in workflow()["jobs"]["check"]["steps"]:
        if "run" in step:
            assert step["working-directory"] == "trusted"
            assert "${{" not in step["run"]
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_actions_are_pinned_by_commit() -> None:
    for step in workflow()["jobs"]["check"]["steps"]:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step.get("uses", "a@" + "0" * 40))


def test_the_page_lists_every_fault_code_with_its_fix() -> None:
    page = (ROOT / "docs/submitting.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| (FB\d+) \| .+ \| (.+) \|$", page, flags=re.MULTILINE))
    assert listed == FIXES
