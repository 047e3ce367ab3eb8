"""Statistics need neither torch nor a network, and their help needs nothing heavy at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.statistics.test_compare import write_run

SCRIPT = """
import socket, sys
def refuse(*arguments, **named): raise AssertionError("a network connection was asked for")
socket.socket.connect = socket.create_connection = refuse
from fedmeki_bench.cli import main
try:
    main({arguments!r})
except SystemExit as stop:
    assert not stop.code, stop.code
print("loaded:", *sorted({{name.split(".")[0] for name in sys.modules}} & {names!r}))
"""


def loaded(arguments: list[str], names: set[str]) -> str:
    """Which of the named packages a command line loads."""
    script = SCRIPT.format(arguments=arguments, names=names)
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    return found.stdout.splitlines()[-1]


@pytest.mark.parametrize("verb", ["compare", "power", "audit-published", "score"])
def test_help_loads_nothing_heavy(verb: str) -> None:
    heavy = {"torch", "numpy", "scipy", "sklearn", "pandas", "datasets", "yaml", "tabulate", "nltk"}
    assert loaded([verb, "--help"], heavy) == "loaded:"


def test_no_verb_loads_torch_or_asks_for_the_network(tmp_path: Path) -> None:
    runs = [str(write_run(tmp_path / name, skill=skill)) for name, skill in (("a", 0.9), ("b", 0.6))]
    heavy = {"torch", "datasets", "transformers", "matplotlib", "evaluate"}
    for arguments in (
        ["compare", *runs, "--draws", "50"],
        ["power", "--effect", "0.02"],
        ["audit-published"],
    ):
        assert loaded(arguments, heavy) == "loaded:", arguments
