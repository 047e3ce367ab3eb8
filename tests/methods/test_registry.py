"""Finding methods, checking their options, and isolating broken ones."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from fedmeki_bench.errors import BenchError, FaultsError, UsageError
from fedmeki_bench.methods import list_methods, load_method, registry


def test_the_papers_methods_and_constants_are_listed_without_fault() -> None:
    """Built-in methods, and the ablations as configurations."""
    found = {listing.name: listing for listing in list_methods()}
    assert {"fedplug", "fedplug_l", "fedkim", "majority", "always-yes"} <= found.keys()
    assert {"fedkim_pub", "fedkim_t", "fedkim_m"} <= found.keys()
    assert not [listing for listing in found.values() if listing.fault]


def test_an_ablation_is_a_configuration_of_its_method() -> None:
    """`fedkim_t` is FedKIM without the task description."""
    assert load_method("fedkim_t").config["task_description"] is False
    assert load_method("fedkim_pub").federated is False


def test_an_unknown_name_gets_a_suggestion() -> None:
    """Did you mean."""
    with pytest.raises(UsageError, match=r"did you mean .*fedkim"):
        load_method("fedkin")


def test_wrong_options_are_reported_all_at_once() -> None:
    """Field, expected, found, and a suggestion for a misspelt name."""
    with pytest.raises(FaultsError) as caught:
        load_method("fedkim", {"rank": 0, "expert": 4})
    assert len(caught.value.faults) == 2 and "did you mean experts" in str(caught.value)


def test_a_broken_plugin_is_named_and_the_others_still_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """One bad package hides nothing."""
    good = EntryPoint("fedplug", "fedmeki_bench.baselines.fedplug:FedPlug", registry.GROUP)
    bad = EntryPoint("broken", "no_such_package.method:Method", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints([good, bad]))
    found = {listing.name: listing for listing in list_methods()}
    assert found["fedplug"].fault is None
    assert "no_such_package" in (found["broken"].fault or "")
    with pytest.raises(BenchError, match="could not be imported"):
        load_method("broken")


def test_a_method_is_loaded_from_a_file_or_a_folder(tmp_path: Path) -> None:
    """`--method submissions/mine` works on a folder with method.py."""
    base = "from fedmeki_bench.methods.base import FoundationInjection\n"
    text = f"{base}class Mine(FoundationInjection):\n    name = 'mine'\n"
    (tmp_path / "method.py").write_text(text)
    assert load_method(str(tmp_path)).name == load_method(str(tmp_path / "method.py")).name == "mine"
    with pytest.raises(UsageError, match="no method at this path"):
        load_method(str(tmp_path.parent))


def test_two_packages_may_not_offer_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collision is an error that names both."""
    points = [EntryPoint("same", f"package_{letter}:Method", registry.GROUP) for letter in "ab"]
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(points))
    with pytest.raises(BenchError, match=r"package_a:Method and package_b:Method"):
        list_methods()
