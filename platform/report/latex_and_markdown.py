"""Renders tables as LaTeX (booktabs, for \\input) and as Markdown."""

import unicodedata
from collections.abc import Callable, Iterable

from platform.report.report_tables import Table, Text

LATEX = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "†": r"\textdagger{}",
    "\N{NO-BREAK SPACE}": " ",
    "←": r"$\leftarrow$",
}


WITHOUT_GLYPH = frozenset("«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ")
"""letters below U+0180 that pdfLaTeX's standard fonts lack"""


def render_latex_table(table: Table) -> str:
    """Return a tabular, with its caption as a comment, to be \\input into a table environment. It needs the package booktabs.

    Letters that pdfLaTeX has no font for are written as their Unicode names in brackets: the table compiles and shows which they were.
    """
    align = "".join("r" if numeric else "l" for numeric in table.numeric)
    lines = [
        f"% {' '.join(table.caption.split())}",
        f"\\begin{{tabular}}{{{align}}}",
        r"\toprule",
        _format_row(map(escape_latex, table.head)),
        r"\midrule",
    ]
    for row in table.rows:
        if len(row) == 1:
            lines += [rf"\addlinespace \multicolumn{{{len(align)}}}{{l}}{{\emph{{{escape_latex(row[0].text)}}}}} \\"]
        else:
            lines.append(_format_row(map(_mark_latex, row)))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def render_markdown_table(table: Table) -> str:
    """Return a GitHub table under its caption."""
    rule = "|".join("---:" if numeric else "---" for numeric in table.numeric)
    lines = [table.caption, "", _join_with_pipes(map(escape_markdown, table.head)), f"|{rule}|"]
    for row in table.rows:
        entries = [Text(row[0].text, "best"), *[Text("")] * (len(table.head) - 1)] if len(row) == 1 else row
        lines.append(_join_with_pipes(map(_mark_markdown, entries)))
    return "\n".join([*lines, ""])


def escape_latex(text: str) -> str:
    return "".join(LATEX.get(letter) or (letter if _has_glyph(letter) else f"[{_name_letter(letter)}]") for letter in text)


def _has_glyph(letter: str) -> bool:
    return letter.isprintable() and letter < "\u0180" and letter not in WITHOUT_GLYPH


def _name_letter(letter: str) -> str:
    return unicodedata.name(letter, f"U+{ord(letter):04X}").lower()


def escape_markdown(text: str) -> str:
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]<>#|~" else " " if letter in "\r\n" else letter for letter in text)


def _mark_latex(entry: Text) -> str:
    text = escape_latex(entry.text)
    command = {"best": r"\textbf", "second": r"\underline"}.get(entry.mark)
    return (f"{command}{{{text}}}" if command else text) + (r"\textdagger{}" if entry.tied else "") + _join_beside(escape_latex, entry)


def _mark_markdown(entry: Text) -> str:
    text = escape_markdown(entry.text)
    markers = {"best": ("**", "**"), "second": ("<u>", "</u>")}.get(entry.mark, ("", ""))
    return f"{markers[0]}{text}{markers[1]}{'†' if entry.tied else ''}{_join_beside(escape_markdown, entry)}" if text else ""


def _join_beside(escape: Callable[[str], str], entry: Text) -> str:
    return f" / {escape(entry.beside)}" if entry.beside else ""


def _format_row(entries: Iterable[str]) -> str:
    """Return a row. The commands that end a row or draw a rule would take a bracket or an asterisk that follows as their argument."""
    row = (" & ".join(entries) + r" \\").lstrip()
    return f"{{{row[0]}}}{row[1:]}" if row.startswith(("[", "*")) else row


def _join_with_pipes(entries: Iterable[str]) -> str:
    return f"| {' | '.join(entries)} |"
