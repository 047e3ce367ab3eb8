"""The wheel holds all it needs: specs, baselines, published numbers, profiles, schemas."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, so that no build folder is left behind."""
    folder = tmp_path_factory.mktemp("wheel")
    names = [
        "fedmeki_bench",
        "tasks",
        "baselines",
        "leaderboard/published",
        "pyproject.toml",
        "setup.py",
        "README.md",
        "LICENSE",
    ]
    for name in names:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / "src" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / "src" / name)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(folder / "src"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_nothing_lands_beside_the_package(wheel: Path) -> None:
    """`tasks` and `baselines` are inside fedmeki_bench, where no other distribution can collide."""
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"fedmeki_bench"}


def test_an_installed_wheel_lists_tasks_and_methods(wheel: Path, tmp_path: Path) -> None:
    """In a clean environment that has the dependencies but not this checkout."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)],
        check=True,
    )
    packages = next((environment / "lib").glob("python*/site-packages"))
    # Names the dependencies' folder; .pth files in there (this checkout's editable installation) are not followed.
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*arguments: str) -> str:
        command = [str(environment / "bin" / "fedmeki-bench"), *arguments]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=tmp_path, env=clean
        ).stdout

    assert run("tasks", "validate") == "12 task specifications valid\n"
    methods = run("methods", "ls")
    assert all(
        name in methods for name in ("fedkim", "fedkim_t", "fedplug", "fedplug_l", "majority", "always-yes")
    )
    where = [str(python), "-c", "import fedmeki_bench; print(fedmeki_bench.__file__)"]
    assert (
        str(environment)
        in subprocess.run(where, check=True, capture_output=True, text=True, cwd=tmp_path, env=clean).stdout
    )
