"""The walk-through of docs/methods.md, from nothing to a row on a leaderboard, as a user types it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fedmeki_bench.cli import main
from fedmeki_bench.data import prepare
from fedmeki_bench.simulate import simulate
from fedmeki_bench.specs import load_tasks, select_tasks

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"

COIN = '''
"""A plug-in that needs no language model: it answers by a hash of the input's id."""

import hashlib

from fedmeki_bench.methods import Answer, InjectionReport, Method


class Coin(Method):
    name = "coin"
    uses_foundation_model = False
    federated = False

    def setup(self, context):
        pass

    def inject(self, knowledge, public, round_index):
        return InjectionReport()

    def encoders(self):
        return {}

    def predict(self, task, inputs):
        shares = [hashlib.sha256(one.id.encode()).digest()[0] / 255 for one in inputs]
        if task.kind == "text":
            return [Answer("yes" if share > 0.5 else "no") for share in shares]
        words = (task.answer.negative, task.answer.positive)
        return [Answer(words[share > 0.5], share) for share in shares]

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass
'''


def test_a_plug_in_goes_from_its_source_to_the_leaderboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same way in seconds, with a plug-in that needs no language model, on two simulated tasks."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "submissions" / "coin"
    folder.mkdir(parents=True)
    (folder / "method.py").write_text(COIN, encoding="utf-8")
    simulate(tmp_path / "raw", size=40, seed=1, sources=["ptb_xl", "vqa_rad"])
    tasks = select_tasks(["EAD", "EBD"], load_tasks())
    prepare(tmp_path / "raw", tmp_path / "prepared", tasks=tasks)
    main(["methods", "test", "coin"])
    chosen = ["--data", "prepared", "--tasks", "EAD,EBD", "--progress", "quiet"]
    main(["run", "--method", "coin", "--profile", "mini", *chosen])
    (run,) = (tmp_path / "runs").iterdir()
    main(["submit", str(run), "--out", "submissions/coin", "--author", "Your Name"])
    main(["check", "submissions/coin", "--data", "prepared"])
    assert "ACCEPTED, every score verified" in capsys.readouterr().out
    assert {"method.py", "manifest.json", "seed-0"} == {path.name for path in folder.iterdir()}
    main(["leaderboard", "build", "--submissions", "submissions", "--data", "prepared", "--out", "leaderboard"])
    record = json.dumps(json.loads((tmp_path / "leaderboard/leaderboard.json").read_text(encoding="utf-8")))
    assert "coin" in record


@pytest.mark.slow
def test_the_documented_walk_through_runs_as_it_stands(tmp_path: Path) -> None:
    text = PAGE.read_text(encoding="utf-8")
    block = re.search(r"<!-- walk-through.*?-->\n```bash\n(.*?)```", text, flags=re.DOTALL)
    assert block is not None
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block[1]],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "all 10 checks passed" in done.stdout
    assert "ACCEPTED, every score verified" in done.stdout
    assert (tmp_path / "leaderboard" / "index.html").is_file()
