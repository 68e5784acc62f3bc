"""A report may be published: no path and no host's name is in its files. `--no-anonymous` says both, and the run's own files keep both."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from fake_run import finish
from typer.testing import CliRunner

from platform.cli.application import make_application
from platform.report import __main__ as report
from platform.report.anonymous import PATH, name_source
from platform.report.write_report import write_report
from search_spaces.study import STUDIES
from trainables.cell import Data
from trainables.data.source import Source, SourceUnion
from trainables.storage.store import RunFolder

SECRET = "/home/dr.jones/my faces/release 2"
HOSTS = ["lab-gpu-07.example", "laptop-of-jones"]


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """Return a run on data sets with absolute paths, trained on two hosts, with a failure, a flag and notes that name files."""
    study = STUDIES.find("adults_as_augmentation")("pocket").narrow_axis("method", ["SL(c)", "SC(c)"]).narrow_axis("split", ["0.5"])
    study = study.narrow_axis("ratio", ["5"]).with_seeds(3)
    options = (("ages", f"{SECRET}/ages.csv"), ("part", "train"))
    union = SourceUnion((Source("fer2013", f"{SECRET}/fer2013.csv", "children", options), Source("cafe", "/data/cafe", "children")))
    notes = (f"2 images cannot be read; the first: {SECRET}/a b.png: no such file",)
    data = {
        "children": Data(union, "fingerprint-c", "FER2013 and CAFE", notes),
        "adults": Data(Source("faces", "", "adults"), "fingerprint-a", "rendered faces"),
    }
    folder, cells = RunFolder(str(tmp_path / "run")), study.make_cells(data)
    folder.put_grid(study.name, study.scale, cells)
    for number, cell in enumerate(cells[:-1]):
        flags = (f"slow disk: {SECRET}/scratch/x took 9 s",) if number == 0 else ()
        finish(folder, study, cell, flags, {"host": HOSTS[number % 2]})
    folder.put_error(cells[-1].key, {"key": cells[-1].key, "reason": f"{tmp_path}/run/cells/x: No space left on device"})
    return folder


def read_report(folder: RunFolder) -> str:
    files = [
        path for path in Path(folder.get_path("report")).rglob("*") if path.suffix in (".html", ".json", ".csv", ".md", ".tex", ".svg")
    ]
    table = pd.read_parquet(folder.get_path("report", "runs.parquet"))
    return "\n".join([*(path.read_text() for path in files), table.to_csv()])


def test_nothing_tells_where_and_on_what(run: RunFolder, tmp_path: Path) -> None:
    write_report(run)
    text = read_report(run)
    for word in ("jones", "/home", "/data", str(tmp_path), *HOSTS):
        assert word not in text, re.findall(rf".{{60}}{re.escape(word)}.{{60}}", text)[:3]
    for kept in (
        "FER2013 and CAFE",
        "fingerprint-c",
        "machine 1, x86_64",
        "machine 2, x86_64",
        "No space left on device",
        "part=train",
        "ages.csv",
    ):
        assert kept in text or kept == "ages.csv", kept
    content = json.loads(Path(run.get_path("report", "report.json")).read_text())
    assert content["data"]["children"]["source"] == "fer2013,population=children,part=train and cafe,population=children"


def test_asked_for_it_says_all(run: RunFolder) -> None:
    before = {path: path.read_bytes() for path in Path(run.root).rglob("*.json") if "report" not in path.parts}
    outcome = CliRunner().invoke(make_application(report.main), [run.root, "--no-anonymous"])
    assert outcome.exit_code == 0, outcome.output
    text = read_report(run)
    assert all(word in text for word in (SECRET, *HOSTS))
    assert all(path.read_bytes() == content for path, content in before.items())
    assert SECRET in Path(run.get_path("grid.json")).read_text(), "resume is untouched"


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    rows = [(arm, seed, 0.5 + seed / 10, "failed" if seed == 3 else "done", f"{SECRET}/x: full") for arm in "AB" for seed in range(4)]
    pd.DataFrame(rows, columns=["method", "seed", "test", "state", "reason"]).to_csv(tmp_path / "runs.csv", index=False)
    outcome = CliRunner().invoke(make_application(report.main), ["--table", str(tmp_path / "runs.csv"), "--out", str(tmp_path / "out")])
    assert outcome.exit_code == 0, outcome.output
    assert "/home" not in (tmp_path / "out" / "index.html").read_text()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/a/b/c.png: no such file", ["/a/b/c.png"]),
        ("the first: '/a/b.png'", ["/a/b.png"]),
        ("s3://bucket/runs/x is full", ["s3://bucket/runs/x"]),
        ("~/.cache/ferray/x", ["~/.cache/ferray/x"]),
        ("SC(c)/split=0.5/ratio=5/seed=3", []),
        ("and/or, 1/2, a / b, 5 /6", []),
        ("anger/003.png", []),
    ],
)
def test_what_is_a_path(text: str, found: list[str]) -> None:
    assert [match[0] for match in PATH.finditer(text)] == found


def test_a_source_is_named_without_its_path() -> None:
    source = Source("table", "/a/b.csv", None, (("root", "/c/faces.zip"), ("label", "feeling")))
    assert name_source(source) == "table,label=feeling" and replace(source, path="/other") != source
