"""LaTeX tables go through a real TeX without an error, a missing glyph or a table wider than the page."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from fedmeki_bench.reporting import escape_latex, render_latex, run_tables, select
from fedmeki_bench.reporting.leaderboard import Built
from tests.builders import make_evaluation, make_result
from tests.reporting.conftest import HOSTILE

pytestmark = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")

PREAMBLE = r"\documentclass[twocolumn]{article}\usepackage{booktabs}\usepackage[margin=2cm]{geometry}"


def compile_latex(folder: Path, body: str) -> str:
    """The log of a document; fails if TeX fails."""
    (folder / "all.tex").write_text(f"{PREAMBLE}\\begin{{document}}\n{body}\n\\end{{document}}\n", encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
        env={**os.environ, "max_print_line": "1000"},
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout
    return done.stdout


def test_every_latex_file_of_a_leaderboard_fits_a_page(board: tuple[Path, Built], tmp_path: Path) -> None:
    files = sorted((board[0] / "latex").glob("*.tex"))
    shutil.copytree(board[0] / "latex", tmp_path / "latex")
    log = compile_latex(tmp_path, "\n".join(f"\\input{{latex/{file.stem}}}\\clearpage" for file in files))
    assert len(files) > 10
    assert "Overfull" not in log and "too large" not in log


def test_the_run_tables_fit_a_page_in_every_layout(tmp_path: Path) -> None:
    evaluations = [make_evaluation("multi_task", "covid_detection"), make_evaluation("zero_shot", "medvqa_rad")]
    tables = run_tables([make_result(evaluations=evaluations)])
    narrow = select(tables[0], tasks=["covid_detection"], metrics=["accuracy", "f1"])
    parts = [
        *(render_latex(table) for table in tables),
        render_latex(narrow, wide=False, layout="rows"),
        render_latex(narrow, transposed=True, intervals=True, wide=True),
        render_latex(tables[1], transposed=True, caption="50 % & more", label="my_label"),
    ]
    log = compile_latex(tmp_path, "\n\\clearpage\n".join(parts))
    assert "Overfull" not in log


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="pdftotext is not installed")
def test_special_characters_are_printed_as_they_are(tmp_path: Path) -> None:
    names = [r"a_b & 50% #1 $x$ {y} ~z ^w \macro", "<i>|</i>", "Müller é", "多中心 🙂"]
    compile_latex(tmp_path, r"\par ".join(map(escape_latex, names)))
    subprocess.run(["pdftotext", "-raw", "all.pdf"], cwd=tmp_path, check=True, timeout=60)
    text = re.sub(r"\s+", " ", (tmp_path / "all.txt").read_text())
    # TeX draws an underscore as a rule, which is no text.
    for shown in ("a b", "50%", "#1", "$x$", "{y}", r"\macro", "[U+591A]", "[U+1F642]"):
        assert shown in text, (shown, text)


def test_a_hostile_name_compiles(tmp_path: Path) -> None:
    for table in run_tables([make_result(HOSTILE), make_result(r"\input{/etc/passwd}", run_id="b")]):
        log = compile_latex(tmp_path, render_latex(table))
        assert "Output written on" in log and "(/etc/passwd" not in log


def test_the_options_do_what_they_say() -> None:
    table = run_tables([make_result()])[0]
    assert r"\begin{table*}" in render_latex(table, wide=True) and r"\begin{table}" in render_latex(table, wide=False)
    assert r"\label{tab:mine}" in render_latex(table, label="mine")
    assert r"\caption{50\% better}" in render_latex(table, caption="50% better")
    assert r"$\uparrow$" in render_latex(table) and "in percent" in render_latex(table)
    assert r"\textit{Published}" in render_latex(table, transposed=True)
    assert r"\tiny[88.0, 92.0]" in render_latex(table, intervals=True)
