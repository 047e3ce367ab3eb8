"""Plug-ins as people write them: created from templates, listed, tested; a broken one harms nobody."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from fedmeki_bench.cli import main
from fedmeki_bench.errors import BenchError, UsageError
from fedmeki_bench.methods import list_methods, load_method, registry
from fedmeki_bench.methods.conformance import run_check
from fedmeki_bench.methods.scaffold import new_plugin


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("fedmeki_plugin_")]:
        del sys.modules[name]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = 0
    try:
        main(list(arguments))
    except SystemExit as stop:
        code = int(stop.code or 0)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_a_new_plug_in_is_found_by_its_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "methods", "new", "my-idea")
    assert code == 0 and "methods test my-idea" in out
    assert {path.name for path in (folder / "submissions/my-idea").iterdir()} == {
        "method.py",
        "test_method.py",
        "README.md",
    }
    method = load_method("my-idea", {"rank": 2})
    assert (method.name, method.config["rank"]) == ("my-idea", 2)
    assert not list(folder.rglob("__pycache__"))


def test_a_new_plug_in_works_as_written() -> None:
    new_plugin("demo")
    for check in ("contract", "frozen model", "resume"):
        finding = run_check(check, lambda: load_method("demo"))
        assert finding.passed, finding.render()


def test_a_new_package_has_an_entry_point_and_all_its_parts(folder: Path) -> None:
    import tomllib

    written = new_plugin("my-idea", package=True)
    assert written.next_step == "pip install -e ./my-idea"
    project = tomllib.loads((folder / "my-idea/pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["entry-points"]["fedmeki_bench.methods"] == {"my-idea": "my_idea.method:MyIdea"}
    for path in written.files:
        assert "{{" not in path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["FedKIM", "../x", "a b", "", "x" * 41, "1st", "a--b", "class;"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a name"):
        new_plugin(name)


@pytest.mark.parametrize("name", ["fedkim", "fedplug-l", "always-yes", "fedkim_t"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="taken"):
        new_plugin(name)


def test_nothing_is_overwritten(folder: Path) -> None:
    (folder / "submissions/demo").mkdir(parents=True)
    (folder / "submissions/demo/notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="not empty"):
        new_plugin("demo")


def test_what_ships_is_listed_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "methods", "ls", "--json")
    listed = {entry["name"]: entry for entry in json.loads(out)}
    assert code == 0
    assert {"fedplug", "fedplug_l", "fedkim", "ffa_lora", "linear_probe", "majority", "always-yes"} <= set(listed)
    assert all(entry["fault"] is None for entry in listed.values())


def test_a_broken_plug_in_is_named_and_the_others_still_list(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = EntryPoint("broken", "no_such_package.method:Broken", registry.GROUP)
    wrong = EntryPoint("wrong", "json:dumps", registry.GROUP)
    leaving = EntryPoint("leaving", "tests.conformance.leaving:Method", registry.GROUP)
    known = list(registry.entry_points(group=registry.GROUP))
    monkeypatch.setattr(registry, "entry_points", lambda group: [*known, broken, wrong, leaving])
    faults = {listing.name: listing.fault for listing in list_methods() if listing.fault}
    assert set(faults) == {"broken", "wrong", "leaving"}
    assert "no_such_package" in str(faults["broken"])
    code, out, _ = call(capsys, "methods", "ls")
    assert code == 0 and "broken cannot be used" in out and "fedkim" in out
    with pytest.raises(BenchError, match="could not be imported"):
        load_method("broken")
    assert load_method("majority").name == "majority"


def test_listing_never_imports_what_lies_in_submissions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "submissions/evil").mkdir(parents=True)
    (folder / "submissions/evil/method.py").write_text("raise SystemExit('ran')\n", encoding="utf-8")
    code, out, _ = call(capsys, "methods", "ls")
    assert code == 0 and "evil" not in out


def test_findings_and_exit_code(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "methods", "test", "majority")
    assert code == 0 and out.count("passed") == 11
    new_plugin("demo")
    path = folder / "submissions/demo/method.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("rank = self.config", "rank = self.confg"), encoding="utf-8")
    code, out, err = call(capsys, "methods", "test", "demo", "--check", "contract")
    assert code == 3
    assert "FAILED  contract: AttributeError in method.py, line" in out and "to do:" in out
    assert "1 of 1 checks failed: contract" in err
    assert "Traceback" not in out + err


def test_wrong_options_and_names_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "methods", "test", "fedplug_l", "--set", "rnk=3")
    assert code == 2 and "did you mean rank" in err
    code, _, err = call(capsys, "methods", "test", "fedkimm")
    assert code == 2 and "fedkim" in err
    code, _, err = call(capsys, "methods", "test", "majority", "--check", "speed")
    assert code == 2 and "unknown check" in err
