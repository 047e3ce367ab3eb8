"""Documents say what is: named tests, links and commands exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from fedmeki_bench.cli import VERBS

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]


def names_in(path: Path) -> set[str]:
    """`Class::test` and `test` names of a test file."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
    return names


def all_names(path: Path) -> set[str]:
    """As `names_in`, with the bare names of methods too."""
    found = names_in(path)
    return found | {name.rpartition("::")[2] for name in found}


def test_every_defect_names_a_test_that_exists() -> None:
    """The page cannot claim a test that is gone."""
    rows = re.findall(r"`(tests/[\w/]+\.py)(?:::([\w:]+))?`", (REPOSITORY / "docs" / "defects.md").read_text())
    assert len(rows) >= 20
    for path, name in rows:
        assert (REPOSITORY / path).is_file(), path
        assert not name or name in all_names(REPOSITORY / path), f"{path}::{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Relative links only; those to the web are not followed."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_pages_exist(page: Path) -> None:
    """Every `fedmeki-bench VERB` shown is a verb."""
    for verb in re.findall(r"fedmeki-bench ([a-z][a-z-]+)", page.read_text()):
        assert verb in VERBS, f"{page.name}: fedmeki-bench {verb}"


def test_the_architecture_page_names_every_folder_of_the_package() -> None:
    """The house as it really is."""
    page = (REPOSITORY / "docs" / "architecture.md").read_text()
    folders = [path for path in (REPOSITORY / "fedmeki_bench").iterdir() if (path / "__init__.py").is_file()]
    assert len(folders) >= 12
    for folder in folders:
        assert f"`fedmeki_bench/{folder.name}/`" in page, folder.name


def test_no_arrow_points_left() -> None:
    """What stands on the left of the flow never imports what stands on its right."""
    flow = "specs sources data metrics modeling federation methods runner submissions reporting"
    order = flow.split()
    for rank, name in enumerate(order):
        for path in (REPOSITORY / "fedmeki_bench" / name).rglob("*.py"):
            imported = re.findall(r"^\s*(?:from|import) fedmeki_bench\.(\w+)", path.read_text(), re.MULTILINE)
            later = set(imported) & set(order[rank + 1 :])
            assert not later, f"{path.relative_to(REPOSITORY)} imports {sorted(later)}"
