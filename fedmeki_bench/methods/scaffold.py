"""A new plug-in from templates: it works as written, and is there to be changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedmeki_bench.errors import UsageError
from fedmeki_bench.files import write_text
from fedmeki_bench.methods.registry import LOCAL, method_names

__all__ = ["NewPlugin", "new_plugin"]

TEMPLATES = Path(__file__).parent / "templates"

_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
MAX_NAME = 40


@dataclass(frozen=True)
class NewPlugin:
    """A plug-in as written: its files, and the command to go on with."""

    files: Sequence[Path]
    next_step: str


def new_plugin(name: str, out: Path | None = None, *, package: bool = False) -> NewPlugin:
    """Write a small working plug-in.

    Args:
        name: the method's name: small letters, digits, dashes or underscores.
        out: a folder that is new or empty. By default `submissions/NAME`, where it is found by its name and its
            results can join it, or `./NAME` for a package.
        package: an installable package with an entry point, instead of a plain folder.

    Raises:
        UsageError: a name that is not well formed or taken, or a folder that holds something.
    """
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise UsageError(
            "not a name for a method",
            expected=f"small letters, digits, - and _, starting with a letter, at most {MAX_NAME}",
            found=repr(name),
        )
    module = name.replace("-", "_")
    taken = {known.replace("-", "_"): known for known in method_names()}
    if module in taken:
        raise UsageError(f"the name {name!r} is taken", found=f"the method {taken[module]}", fix="choose another name")
    found_by_name = out is None and not package
    out = out or (Path(name) if package else LOCAL / name)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("the folder for the plug-in is not empty", where=out, fix="choose another --out")
    words = {
        "name": name,
        "module": module,
        "class": "".join(part.capitalize() for part in module.split("_")),
        "distribution": f"fedmeki-bench-{name.replace('_', '-')}",
        "target": name if found_by_name else _as_path(out),
    }
    if package:
        files = {
            "pyproject.toml": "pyproject.toml",
            "README.md": "readme_package.md",
            f"{module}/__init__.py": "init.py",
            f"{module}/method.py": "method.py",
            "tests/test_method.py": "test_package.py",
        }
    else:
        files = {"method.py": "method.py", "test_method.py": "test_folder.py", "README.md": "readme_folder.md"}
    written = []
    for target, template in files.items():
        text = (TEMPLATES / f"{template}.template").read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(f"{{{{{word}}}}}", value)
        write_text(out / target, text)
        written.append(out / target)
    step = f"pip install -e {_as_path(out)}" if package else f"fedmeki-bench methods test {words['target']}"
    return NewPlugin(written, step)


def _as_path(out: Path) -> str:
    """The folder as it is typed so that nobody takes it for a name."""
    return out.as_posix() if "/" in out.as_posix() else f"./{out.as_posix()}"
