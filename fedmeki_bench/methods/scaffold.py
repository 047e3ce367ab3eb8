"""A new plug-in from templates: it works as written, and is there to be changed."""

from __future__ import annotations

import re
from pathlib import Path

from fedmeki_bench.errors import UsageError
from fedmeki_bench.files import write_text
from fedmeki_bench.methods.registry import method_names

__all__ = ["new_plugin"]

TEMPLATES = Path(__file__).parent / "templates"

_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
MAX_NAME = 40


def new_plugin(name: str, out: Path, *, package: bool = False) -> list[Path]:
    """Write a small working plug-in.

    Args:
        name: the method's name: small letters, digits, dashes or underscores.
        out: a folder that is new or empty.
        package: an installable package with an entry point, instead of a folder to be named by its path.

    Returns:
        The files written.

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
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError("the folder for the plug-in is not empty", where=out, fix="choose another --out")
    words = {
        "name": name,
        "module": module,
        "class": "".join(part.capitalize() for part in module.split("_")),
        "distribution": f"fedmeki-bench-{name.replace('_', '-')}",
        "path": out.as_posix() if "/" in out.as_posix() else f"./{out.as_posix()}",
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
    return written
