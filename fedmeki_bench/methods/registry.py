"""Finding methods: built in, installed as entry points, or at a path; a broken one is named and isolated.

Names resolve in this order: a configuration in `baselines/*.yaml` (an ablation is a config over a method), an entry
point of the group `fedmeki_bench.methods`, then `package.module:Class`, then a folder or file holding a plug-in, then a
folder of that name in `submissions/`. Listing imports what is installed, never what lies in `submissions/`.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import yaml

from fedmeki_bench.errors import BenchError, UsageError, did_you_mean
from fedmeki_bench.files import package_folder
from fedmeki_bench.methods.api import Method

__all__ = ["GROUP", "LOCAL", "Listing", "list_methods", "load_method", "method_names"]

GROUP = "fedmeki_bench.methods"
"""Entry-point group in which an installed package offers methods."""

LOCAL = Path("submissions")
"""Folder, in the working folder, in which a plug-in is found by its own folder's name."""


@dataclass(frozen=True)
class Listing:
    """One method as found: where it comes from, and why it cannot be used if it cannot."""

    name: str
    kind: Literal["built-in", "configuration", "installed"]
    origin: str
    fault: str | None = None


def _points() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            raise BenchError(
                f"two installed packages offer a method named {point.name!r}",
                found=f"{other.value} and {point.value}",
                fix="uninstall one of them, or name the one you mean as module:Class",
            )
        found[point.name] = point
    return found


def _variants() -> dict[str, Path]:
    return {path.stem: path for path in sorted(package_folder("baselines").glob("*.yaml"))}


def method_names() -> list[str]:
    """Every name that a method has here, in the alphabet's order; nothing is imported."""
    return sorted({*_points(), *_variants()})


def list_methods() -> list[Listing]:
    """Every method that can be named, each tried in isolation; a broken one carries its fault."""
    listings = []
    for name, point in _points().items():
        kind: Literal["built-in", "installed"] = "built-in" if point.value.startswith("fedmeki_bench.") else "installed"
        fault = None
        try:
            _checked(point.load(), point.value)
        # A plug-in is foreign code that may fail in any way; one broken plug-in must not hide the others.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            fault = f"{type(error).__name__}: {error}"
        listings.append(Listing(name, kind, point.value, fault))
    listings += [Listing(name, "configuration", f"baselines/{path.name}") for name, path in _variants().items()]
    return sorted(listings, key=lambda listing: listing.name)


def _checked(found: object, origin: str) -> type[Method]:
    if isinstance(found, type) and issubclass(found, Method) and isinstance(getattr(found, "name", None), str):
        return found
    raise BenchError(
        "not a method",
        where=origin,
        expected="a subclass of fedmeki_bench.methods.Method with a name",
        found=repr(found),
    )


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """A plug-in's folder may become a submission: leave no compiled files in it."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _load_path(path: Path) -> type[Method]:
    file = path / "method.py" if path.is_dir() else path
    if not file.is_file():
        raise UsageError(
            "no method at this path",
            where=path,
            expected="a Python file, or a folder with method.py",
            found="neither",
        )
    name = f"fedmeki_plugin_{file.resolve().parent.name}_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError("not a Python file", where=file)
    module = importlib.util.module_from_spec(spec)
    # Registered before it runs: dataclasses and pickling look their module up by name.
    sys.modules[name] = module
    with _no_bytecode():
        _run(lambda: spec.loader.exec_module(module) if spec.loader else None, str(file))
    return _only_method(module, str(file))


def _run(action: Any, origin: str) -> Any:
    try:
        return action()
    except BenchError:
        raise
    # The plug-in's own failure, of whatever kind, is reported as one clear message; --debug shows the cause.
    except (Exception, SystemExit) as error:
        raise BenchError(
            "the method could not be imported", where=origin, found=f"{type(error).__name__}: {error}"
        ) from error


def _only_method(module: ModuleType, origin: str) -> type[Method]:
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Method)
        and value.__module__ == module.__name__
        and hasattr(value, "name")
    ]
    if len(classes) != 1:
        names = ", ".join(sorted(value.__name__ for value in classes)) or "none"
        raise UsageError(
            "exactly one method class is expected", where=origin, found=names, fix="name it as module:Class"
        )
    return classes[0]


def _load_class(name: str) -> type[Method]:
    points = _points()
    if name in points:
        return _checked(_run(points[name].load, points[name].value), points[name].value)
    if ":" in name:
        module_name, _, attribute = name.partition(":")
        module = _run(lambda: importlib.import_module(module_name), name)
        return _checked(getattr(module, attribute, None), name)
    for place in (Path(name), LOCAL / name):
        if place.is_file() or (place / "method.py").is_file():
            return _load_path(place)
    if Path(name).exists():
        return _load_path(Path(name))
    raise UsageError(f"unknown method {name!r}", fix=did_you_mean(name, [*points, *_variants()]))


def load_method(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """A method by name, `module:Class`, or path, with its options checked and completed.

    Args:
        name: e.g. `fedkim`, `fedkim_t`, `my_package.method:MyMethod`, `submissions/mine`.
        options: overrides of the method's defaults.

    Raises:
        UsageError: unknown name (with close matches) or wrong options.
        BenchError: the method cannot be imported.
    """
    variants = _variants()
    if name in variants:
        variant = yaml.safe_load(variants[name].read_text(encoding="utf-8"))
        return _load_class(variant["method"])({**variant["config"], **(options or {})})
    return _load_class(name)(options)
