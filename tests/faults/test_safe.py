"""Untrusted input is never executed, never leads to a path outside its folder, and is escaped for terminals, web pages and LaTeX."""

import ast
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from typer.testing import CliRunner

from platform.cli.application import make_application
from platform.grid import __main__ as grid
from platform.report.build_report_files import build_report_files
from platform.report.findings import compute_findings
from platform.report.read_results_table import read_table
from platform.tensorboard.board_writer import Board
from platform.terminal.progress import make_printable
from search_spaces.study import STUDIES
from tests.fake_run import fake_run
from tests.running import PATIENCE_S
from trainables.data.decode import DataError
from trainables.data.files import resolve_within

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = [
    '<script>alert("1")</script>',
    "\\input{/etc/passwd}",
    "a & b_c % $x$ {",
    "\x1b[2J\x1b]0;title\x07",
    "../../escaped",
    "'\"><img src=x>",
]

OUR_OWN = {("trainables/data/decode.py", "pickle.load")}
"""reads from a pipe that a process of this program writes"""


def calls() -> list[tuple[Path, ast.Call, str]]:
    nodes = []
    for package in ("platform", "search_spaces", "trainables"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call):
                    nodes.append((file.relative_to(ROOT), node, ast.unparse(node.func)))
    return nodes


def test_nothing_is_unpickled_or_evaluated() -> None:
    never = re.compile(
        r"(pickle|cloudpickle|dill|joblib|shelve|marshal)\.(load|loads|open|Unpickler)|.*read_pickle|yaml\.(load|unsafe_load)|eval"
    )
    required = {"torch.load": "weights_only=True"}
    for file, node, name in calls():
        assert not never.fullmatch(name) or (str(file), name) in OUR_OWN, f"{file}, line {node.lineno}: {name}"
        keywords = {ast.unparse(keyword) for keyword in node.keywords}
        assert name not in required or required[name] in keywords, f"{file}, line {node.lineno}: {name} without {required.get(name)}"
        assert "allow_pickle=True" not in keywords, f"{file}, line {node.lineno}"
        if name in ("exec", "__import__"):
            assert file.name in ("__init__.py", "__main__.py") and file.parent.name == "platform", f"{file}, line {node.lineno}: {name}"
        assert "shell=True" not in keywords and name != "os.system", f"{file}, line {node.lineno}: a shell"


def test_archives_are_unpacked_by_nobody() -> None:
    """Archives are read in place, so that no name in them becomes a path. A file that unpacks one must show here that it checks names."""
    unpackers = re.compile(r".*\.(extractall|extract|unpack_archive)")
    assert [(str(file), node.lineno) for file, node, name in calls() if unpackers.fullmatch(name)] == []
    assert hasattr(tarfile, "data_filter")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], Path]:
    """Return the report of a table in which every name is hostile, and the table's file."""
    file = tmp_path_factory.mktemp("hostile") / "table.parquet"
    rows = [
        (arm, kind, seed, 0.5 + seed / 100 + number / 50, 0.4)
        for number, arm in enumerate(HOSTILE)
        for kind in HOSTILE[:2]
        for seed in range(3)
    ]
    pd.DataFrame(rows, columns=["method", "<b>kind</b>", "seed", "test", "val"]).to_parquet(file)
    runs = read_table(str(file), conditions=["<b>kind</b>"])
    return build_report_files(runs, compute_findings(runs)), file


def test_names_are_text_in_the_page(report: tuple[dict[str, bytes], Path]) -> None:
    page = report[0]["index.html"].decode()
    tags = set(re.findall(r"<\s*([a-zA-Z!]+)", page))
    assert not tags & {"script", "img", "iframe", "object", "embed"} and "&lt;script&gt;" in page
    assert not re.search(r"\son\w+\s*=", page) and "\x1b" not in page


def test_names_are_text_in_figures(report: tuple[dict[str, bytes], Path]) -> None:
    for name, data in report[0].items():
        if name.endswith(".svg"):
            ElementTree.fromstring(data)  # well-formed although names have control characters
            assert b"<script" not in data and b"<img" not in data, name


def test_names_are_text_in_latex(report: tuple[dict[str, bytes], Path]) -> None:
    for name, data in report[0].items():
        if name.endswith(".tex"):
            text = data.decode()
            assert "\\input" not in text and "\\write" not in text and "\x1b" not in text, name
            for line in text.splitlines():
                assert line.startswith("%") or not re.search(r"(?<!\\)[%#]", line), f"{name}: {line}"


def test_no_name_becomes_a_path_outside(report: tuple[dict[str, bytes], Path]) -> None:
    for name in report[0]:
        assert re.fullmatch(r"[\w./-]+", name) and ".." not in name and not name.startswith("/"), name


def test_a_boards_runs_stay_in_its_folder(tmp_path: Path) -> None:
    """A study defines its axis values, but it may take them from data."""
    study = STUDIES.find("adults_as_augmentation")("pocket").narrow_axis("method", ["SL(c)"]).narrow_axis("split", ["0.5"]).with_seeds(2)
    folder, cells = fake_run(tmp_path / "runs" / "run", study)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    from dataclasses import replace

    for number, name in enumerate(["../../../escaped", "/escaped", "a/../../..", "..", ".", "\0", "a\nb", "x" * 300]):
        cell = replace(cells[0], axes=cells[0].axes | {"method": name})
        folder.put_history(cell.key, folder.get_history(cells[0].key))
        Board(folder, study).complete_runs([cell])
        new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
        assert all(path.is_relative_to(tmp_path / "runs" / "run") for path in new), (number, new)


@pytest.mark.parametrize(
    "name", ["../secret.png", "a/../../secret.png", "/etc/passwd", "C:\\secret.png", "..\\secret.png", "a\0b", "", "."]
)
def test_a_name_in_a_table_leads_nowhere_else(name: str) -> None:
    """Links in a data set's folder are followed, because its owner made them. Names in its tables are not trusted."""
    with pytest.raises(DataError, match="is not a file within the data set"):
        resolve_within(name, "labels.csv, line 2")


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\nb", "\x07", "\udcff", "\u202egnp.exe"])
def test_a_terminal_is_told_nothing(name: str, tmp_path: Path) -> None:
    assert make_printable(name).isprintable() and make_printable("plain, ü, ≥") == "plain, ü, ≥"
    (tmp_path / "here").mkdir()
    outcome = CliRunner().invoke(
        make_application(grid.main), ["--data", f"children=images:{tmp_path}/{name}", "--runs", str(tmp_path / "here")]
    )
    assert outcome.exit_code == 2 and outcome.output.strip().isprintable(), outcome.output


def test_the_command_survives_an_error_stream_that_knows_only_ascii(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "platform.grid", "--data", "children=images:/nowhere/\udcff\udcfe", "--runs", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2 and b"Traceback" not in done.stderr, done.stderr
