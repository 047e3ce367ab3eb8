"""Every format carries the same numbers, and no name can break any of them."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmeki_bench.files import read_json
from fedmeki_bench.reporting import Table, escape_latex, escape_markdown, render_csv, render_latex, render_markdown
from fedmeki_bench.reporting._names import clean_name
from fedmeki_bench.reporting.grid import format_value
from fedmeki_bench.reporting.leaderboard import Built
from fedmeki_bench.reporting.record import record_tables
from fedmeki_bench.reporting.terminal import render_terminal
from tests.reporting.conftest import HOSTILE

Board = tuple[Path, Built]
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d\d)?(?![\w.%])")


@pytest.fixture(scope="module")
def tables(board: Board) -> list[Table]:
    return [table for table in record_tables(read_json(board[0] / "leaderboard.json")) if table.cells]


class Cells(HTMLParser):
    """The text of every number cell of each table of the page, intervals and marks left out."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, list[str]] = {}
        self._table, self._depth, self._inside = "", 0, False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "table":
            self._table = found.get("data-table") or ""
        elif tag == "td" and self._table and "data-value" in found:
            self._inside = True
            self.tables.setdefault(self._table, []).append("")
        elif tag == "span" and self._inside:
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self._inside = False
        elif tag == "span" and self._inside:
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        if self._inside and not self._depth:
            self.tables[self._table][-1] += data.strip()


def numbers_of_record(table: Table) -> list[str]:
    shown = set(table.metrics)
    return sorted(
        format_value(cell.value, measure.metric)
        for (_, measure), cell in table.cells.items()
        if measure.metric in shown and cell.value is not None
    )


class TestRoundTrip:
    def test_csv_holds_exactly_the_numbers_of_the_record(self, board: Board, tables: list[Table]) -> None:
        rows = list(csv.DictReader(io.StringIO((board[0] / "leaderboard.csv").read_text())))
        for table in tables:
            found = sorted(row["value"] for row in rows if row["table"] == table.name and row["value"] != "n/a")
            assert found == numbers_of_record(table), table.name

    def test_html_holds_exactly_the_numbers_of_the_record(self, board: Board, tables: list[Table]) -> None:
        parser = Cells()
        parser.feed((board[0] / "index.html").read_text())
        for table in tables:
            assert sorted(parser.tables[table.name]) == numbers_of_record(table), table.name

    def test_markdown_holds_exactly_the_numbers_of_the_record(self, tables: list[Table]) -> None:
        for table in tables:
            lines = render_markdown(table).splitlines()
            rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("| ")][1:]
            cells = [cell.strip().strip("*").rstrip("†‡") for row in rows for cell in row[4:]]
            assert sorted(cell for cell in cells if NUMBER.fullmatch(cell)) == numbers_of_record(table), table.name

    def test_latex_holds_exactly_the_numbers_of_the_record(self, tables: list[Table]) -> None:
        for table in tables:
            body = render_latex(table).split(r"\midrule", 1)[1].split(r"\bottomrule")[0]
            body = re.sub(r"\\rlap\{\\textsuperscript\{[^}]*\{\}(?:[^}]*\{\})?\}\}", "", body)
            cells = [
                re.sub(r"\\text(?:bf|it)\{([^}]*)\}", r"\1", cell.strip())
                for line in body.splitlines()
                for cell in line.removesuffix(r"\\").split(" & ")[1:]
            ]
            assert sorted(cell for cell in cells if NUMBER.fullmatch(cell)) == numbers_of_record(table), table.name

    def test_the_terminal_holds_exactly_the_numbers_of_the_record(self, tables: list[Table]) -> None:
        for table in tables:
            parts = render_terminal(table, width=10_000).split("\n\n")[1]
            words = [word.strip("*~†‡") for word in re.split(r"\s{2,}", parts.replace("\n", "  "))]
            found = sorted(word for word in words if NUMBER.fullmatch(word))
            assert found == numbers_of_record(table), table.name

    def test_every_latex_number_of_a_view_is_in_the_files_of_its_tasks(self, board: Board, tables: list[Table]) -> None:
        for table in tables:
            names = (
                [f"{table.name}-{short}" for short in table.tasks.values()] if len(table.tasks) > 1 else [table.name]
            )
            text = "".join((board[0] / "latex" / f"{name}.tex").read_text() for name in names)
            assert all(number in text for number in numbers_of_record(table))


class TestHostileNames:
    def test_no_tag_of_a_name_reaches_the_page_or_its_figures(self, board: Board) -> None:
        page = (board[0] / "index.html").read_text()
        assert "<img" not in page and "onerror=alert(1)&gt;" in page

    def test_no_tag_reaches_markdown(self, board: Board) -> None:
        text = (board[0] / "README.md").read_text()
        assert "<img" not in text and "&lt;img" in text

    def test_a_name_cannot_end_a_markdown_cell(self, tables: list[Table]) -> None:
        lines = [line for line in render_markdown(tables[0]).splitlines() if line.startswith("|")]
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in lines}) == 1

    @given(st.text(max_size=60))
    def test_latex_has_no_bare_special_character(self, name: str) -> None:
        escaped = escape_latex(name)
        rest = re.sub(r"\\[a-zA-Z]+\{\}|\\[{}$&#_%]|\$\\(?:up|down)arrow\$", "", escaped)
        assert not re.search(r"[\\{}$&#_%~^]", rest) and "\n" not in rest

    @given(st.text(max_size=60))
    def test_latex_is_ascii_or_european_letters(self, name: str) -> None:
        assert all(ord(char) < 0x180 for char in escape_latex(name))

    @given(st.text(max_size=60))
    def test_markdown_is_one_line_without_a_bare_bar_or_tag(self, name: str) -> None:
        escaped = escape_markdown(name)
        assert "<" not in escaped and not re.search(r"(?<!\\)(?:\\\\)*\|", escaped.replace("\\\\", ""))
        assert len(escaped.splitlines()) <= 1

    @pytest.mark.parametrize("name", ["https://evil.example", "www.evil.example", "@everyone", "[x](javascript:1)"])
    def test_markdown_makes_no_link_or_mention(self, name: str) -> None:
        assert re.search(r"\\[:.@\[]", escape_markdown(name))

    def test_a_spreadsheet_does_not_run_a_name(self, tables: list[Table]) -> None:
        entry = tables[0].entries[0]
        changed = [type(entry)(**{**vars(entry), "method": "=cmd()"}), *tables[0].entries[1:]]
        table = type(tables[0])(**{**vars(tables[0]), "entries": changed})
        assert "'=cmd()" in render_csv([table]) and ",=cmd()" not in render_csv([table])

    def test_direction_changing_characters_become_visible(self) -> None:
        assert clean_name("safe\u202egpj.exe\x00") == "safe[U+202E]gpj.exe[U+0000]"

    def test_the_hostile_name_is_shown_in_full(self, board: Board) -> None:
        labels = [entry["method"] for view in board[1].record["views"] for entry in view["entries"]]
        assert HOSTILE in labels
