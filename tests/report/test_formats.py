"""Tables as LaTeX, compiled by pdflatex, and as Markdown."""

import shutil
import subprocess
from pathlib import Path

import pytest
from fake_run import fake_run
from hypothesis import given, settings
from hypothesis import strategies as st

from platform.report.latex_and_markdown import escape_latex, escape_markdown, render_latex_table, render_markdown_table
from platform.report.report_tables import Table, Text
from search_spaces.study import Study
from tests.report.pages import Report, made
from tests.report.test_contents import other
from tests.running import PATIENCE_S

LATEX = shutil.which("pdflatex")
needs_latex = pytest.mark.skipif(LATEX is None, reason="no pdflatex: apt-get install texlive-latex-recommended")


def table(*entries: Text) -> Table:
    return Table(
        "odd",
        "Odd: 100 % of _them_ & ±",
        ["a_b", "p"],
        [False, True],
        [[Text("a heading")], *([entry, Text("< 0.01")] for entry in entries)],
    )


def compiled(folder: Path, *tables: Path) -> str:
    """Return the log of a document that inputs these tables as a paper would."""
    body = "\n".join(
        rf"\begin{{table}}\resizebox{{\textwidth}}{{!}}{{\input{{{path}}}}}\caption{{{path.stem}}}\end{{table}}" for path in tables
    )
    head = r"\documentclass{article}\usepackage{booktabs,graphicx}"
    (folder / "paper.tex").write_text(rf"{head}\begin{{document}}{body}\end{{document}}", encoding="utf-8")
    command = [LATEX or "", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    run = subprocess.run(command, cwd=folder, capture_output=True, timeout=PATIENCE_S)
    log = run.stdout.decode(errors="replace")
    assert run.returncode == 0, log[-2000:]
    return log


@needs_latex
def test_a_paper_takes_the_tables_over(whole: Report, study: Study, tmp_path: Path) -> None:
    strange, _ = fake_run(tmp_path / "strange", other(study))
    made(strange, other(study), with_figures=True)
    paths = [Path(folder.get_path("report", "tables")) for folder in (whole.folder, strange)]
    log = compiled(tmp_path, *(file for path in paths for file in sorted(path.glob("*.tex"))))
    assert "Output written on paper.pdf" in log and "Missing character" not in log


@needs_latex
def test_every_letter_compiles(tmp_path: Path) -> None:
    letters = [chr(code) for code in (*range(1, 0x2500), 0x1F642, 0x10FFFF) if not 0xD800 <= code < 0xE000]
    rows = ["x".join(letters[start : start + 20]) for start in range(0, 0x180, 20)] + ['🙂 μ ← 表 \\ {x} $ # ~ ^ | " < >']
    (tmp_path / "odd.tex").write_text(render_latex_table(table(*(Text(row, "best", True) for row in rows))), encoding="utf-8")
    assert "Missing character" not in compiled(tmp_path, tmp_path / "odd.tex")


def opening(*first: str) -> Table:
    """Return a table whose rows, its head too, begin with these texts, each once as the first row and once as a later one."""
    rows = [[Text("a heading")], *([Text(text), Text("1")] for text in (*first, *first))]
    return Table("opening", "Line 1\nline 2 %", [first[0], "p"], [False, True], rows)


OPENINGS = ("[x]", "*", "[2cm] x", "*[1ex]", "表 x", "\N{NO-BREAK SPACE}[x]", "", "{[}", "]")


def test_a_row_that_opens_with_a_bracket_or_an_asterisk_is_no_argument_of_the_row_before() -> None:
    for table in (opening(*OPENINGS[start:], *OPENINGS[:start]) for start in range(len(OPENINGS))):
        lines = render_latex_table(table).splitlines()
        assert lines[0] == "% Line 1 line 2 %" and not [line for line in lines if line.lstrip(" ").startswith(("[", "*"))]
    assert "{[}x] & 1 \\\\" in lines and "{*} & 1 \\\\" in lines and "{[}cjk unified ideograph-8868] x & 1 \\\\" in lines


@needs_latex
def test_such_rows_compile(tmp_path: Path) -> None:
    paths = []
    for number, text in enumerate(OPENINGS[:6]):
        paths.append(tmp_path / f"opening{number}.tex")
        paths[-1].write_text(render_latex_table(opening(text, *OPENINGS)), encoding="utf-8")
    assert "Missing character" not in compiled(tmp_path, *paths)


@settings(max_examples=200)
@given(st.text(max_size=20))
def test_no_letter_is_left_that_latex_or_markdown_would_act_on(text: str) -> None:
    plain = escape_latex(text)
    for command in (r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}", r"\textless{}", r"\textgreater{}", r"\textbar{}"):
        plain = plain.replace(command, "")
    for command in (
        "{\\char34}",
        r"$\pm$",
        "$-$",
        r"$\geq$",
        r"$\leq$",
        r"\textdagger{}",
        r"$\leftarrow$",
        *(f"\\{letter}" for letter in "&%$#_{}"),
    ):
        plain = plain.replace(command, "")
    assert not set(plain) & set('\\{}$&#^_%~<>|"') and plain.isprintable()
    assert "\n" not in escape_markdown(text) and "|" not in escape_markdown(text).replace("\\|", "")


def test_markdown_is_a_table_with_its_marks() -> None:
    odd = table(Text("x_y", "best"), Text("a|b", "second", True, "5_6"))
    lines = render_markdown_table(odd).splitlines()
    assert lines[2:5] == ["| a\\_b | p |", "|---|---:|", "| **a heading** |  |"]
    assert lines[5:] == ["| **x\\_y** | \\< 0.01 |", "| <u>a\\|b</u>† / 5\\_6 | \\< 0.01 |"]
    assert r"\underline{a\textbar{}b}\textdagger{} / 5\_6 & " in render_latex_table(odd)


def test_the_short_report_says_what_the_page_says(whole: Report) -> None:
    text = whole.text("report.md")
    assert text.startswith("# Adults as augmentations for children\n") and all(
        escape_markdown(finding) in text for finding in whole.data["findings"]
    )
    assert text.count("\n## ") == 10 and all(escape_markdown(paragraph) in text for paragraph in whole.data["methods"])
