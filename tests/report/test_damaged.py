"""A damaged explain.json costs a report only the section made from it, and prints one line on standard error."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from fake_run import fake_run
from hypothesis import given
from hypothesis import strategies as st

from platform.grid.run import draw_results
from platform.report import __main__ as report
from platform.report.saliency_summary import SaliencySummary, read_saliency_summaries
from search_spaces.study import STUDIES, Study
from tests.report.pages import Report
from trainables.cell import Cell
from trainables.storage.store import RunFolder

TITLE = "Saliency maps: "
MEAN = {"mean": 0.25, "low": 0.125, "high": None, "sd": None, "n": 1}
SHARE = {"arm": "SL(c)", "answer": "right", "region": "eyes", "images": 7.0, "trained": MEAN, "untrained": MEAN, "area": 0.1}
SAID: dict[str, Any] = {
    "how": "gradcam",
    "layer": "stage2 (6 x 6)",
    "condition": {"split": 0.9},
    "notes": ["one was left out"],
    "sheets": ["averages", "sheet-01-fear"],
    "rendered": True,
    "shares": [SHARE],
    "likeness": {"SL(c)": MEAN},
}


@dataclass
class Run:
    study: Study
    folder: RunFolder
    cells: list[Cell]

    @property
    def file(self) -> Path:
        return Path(self.folder.get_path("explain", "gradcam", "explain.json"))

    def explain(self, place: str = "gradcam", **said: Any) -> bytes:
        """Write the file as `python -m platform.explain` does, with these changes. Return its bytes."""
        self.folder.put_described(f"explain/{place}", {f"{name}.svg": b"<svg/>" for name in ("averages", "sheet-01-fear")})
        self.folder.put_json(SAID | said, "explain", place, "explain.json")
        return Path(self.folder.get_path("explain", place, "explain.json")).read_bytes()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    pocket = STUDIES.find("adults_as_augmentation")("pocket").narrow_axis("split", ["0.9"]).narrow_axis("ratio", ["5"])
    study = pocket.narrow_axis("method", ["SL(c)"]).with_seeds(1)
    return Run(study, *fake_run(tmp_path_factory.mktemp("damaged") / "run", study))


def refused(run: Run, content: bytes) -> bool:
    """Return whether the content is left out, with one line that names the file and the remedy. Otherwise it must read as before."""
    run.file.write_bytes(content)
    summaries, lines = read_saliency_summaries(run.folder)
    if summaries:
        assert (summaries, lines) == (whole(run), [])
        return False
    (line,) = lines
    assert line.startswith(f"{run.file} is damaged: ") and line.endswith("; run python -m platform.explain again with --how gradcam")
    assert "\n" not in line and len(line) < len(str(run.file)) + 300
    return True


def whole(run: Run) -> list[SaliencySummary]:
    content = run.file.read_bytes()
    run.explain()
    summaries, lines = read_saliency_summaries(run.folder)
    run.file.write_bytes(content)
    assert lines == [] and [summary.likeness for summary in summaries] == [{"SL(c)": MEAN}]
    return summaries


def test_a_flipped_bit_in_any_byte(run: Run) -> None:
    content, rng = run.explain(), random.Random(0)
    accepted = []
    for offset in range(len(content)):
        bit = 1 << rng.randrange(8)
        if not refused(run, content[:offset] + bytes([content[offset] ^ bit]) + content[offset + 1 :]):
            accepted.append(offset)
    assert len(accepted) < 0.02 * len(content)  # for example the e of an exponent, which may be upper case


def test_a_file_that_is_cut_off(run: Run) -> None:
    content = run.explain()
    assert all(refused(run, content[:length]) for length in range(len(content.rstrip())))


@given(st.one_of(st.binary(max_size=40), st.sampled_from([b"", b"[]", b"null", b"0", b'"text"', b"{}", b"\xff\xfe", b"[" * 100_000])))
def test_any_bytes(run: Run, content: bytes) -> None:
    assert refused(run, content)


@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("value", [None, 7, "text", [7], {"fear": 7}, [None], [{"arm": "SL(c)"}]], ids=str)
def test_a_wrong_type_is_named(run: Run, name: str, value: Any) -> None:
    run.explain(**{name: value})
    summaries, lines = read_saliency_summaries(run.folder)
    valid = (name in ("how", "layer") and value == "text") or (name == "condition" and value == {"fear": 7})
    assert len(summaries) == valid and len(lines) == (not valid)
    assert valid or f" is damaged: {name}" in lines[0]


def test_each_kind_of_map_is_read_by_itself(run: Run) -> None:
    run.explain()
    run.explain("saliency", how="saliency")
    Path(run.folder.get_path("explain", "saliency", "explain.json")).write_bytes(b"{")
    Path(run.folder.get_path("explain", "gradcampp")).mkdir()
    Path(run.folder.get_path("explain", "gradcampp", "explain.json")).mkdir()
    maps, lines = read_saliency_summaries(run.folder)
    assert [summary.how for summary in maps] == ["gradcam"] and maps[0].averages and list(maps[0].sheets) == ["sheet-01-fear"]
    assert [line.rpartition(" ")[2] for line in lines] == ["gradcam++", "saliency"]
    Path(run.folder.get_path("explain", "gradcampp", "explain.json")).rmdir()
    run.folder.remove("explain", "saliency", "explain.json")


def test_requests_of_one_kind_stand_side_by_side(run: Run) -> None:
    run.explain()
    run.explain("gradcam/split-0.5-0a1b2c", condition={"split": 0.5}, of="predicted")
    summaries, lines = read_saliency_summaries(run.folder)
    assert lines == [] and [(summary.condition, summary.of) for summary in summaries] == [
        ({"split": 0.9}, "true"),
        ({"split": 0.5}, "predicted"),
    ]
    assert all(summary.averages and list(summary.sheets) == ["sheet-01-fear"] for summary in summaries)
    other = Path(run.folder.get_path("explain", "gradcam", "split-0.5-0a1b2c", "explain.json"))
    other.write_bytes(b"{")
    summaries, (line,) = read_saliency_summaries(run.folder)
    assert [summary.condition for summary in summaries] == [{"split": 0.9}]
    assert line.startswith(f"{other} is damaged: ") and line.endswith(" again with --how gradcam and that call's other options")
    other.unlink()


def by_command(run: Run) -> None:
    report.main(run.folder.root)


def by_grid(run: Run) -> None:
    draw_results(run.study, run.cells, run.folder)


@pytest.mark.parametrize("make", [by_command, by_grid])
def test_the_report_is_written_without_it(run: Run, make: Callable[[Run], None], capsys: pytest.CaptureFixture[str]) -> None:
    content = run.explain(shares=[], notes=[], condition={}, likeness={}, sheets=[], layer="")
    run.file.write_bytes(content.replace(b'"notes"', b'"noted"'))
    make(run)
    lines = [line for line in capsys.readouterr().err.splitlines() if " is damaged" in line]
    assert lines == [f"{run.file} is damaged: it was changed after it was written; run python -m platform.explain again with --how gradcam"]
    assert TITLE not in Report(run.folder, "report").page.text
    run.file.write_bytes(content)


def test_a_whole_one_is_on_the_page(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The file has the least content that is allowed: no condition, no shares, no sheets."""
    run.explain(shares=[], notes=[], condition={}, likeness={}, sheets=[], layer="")
    by_command(run)
    assert TITLE in Report(run.folder, "report").page.text and capsys.readouterr().err == ""


def test_no_line_for_a_run_that_is_not_explained(run: Run) -> None:
    run.folder.remove("explain", "gradcam", "explain.json")
    assert read_saliency_summaries(run.folder) == ([], [])
    with pytest.raises(typer.Exit):
        report.main(run.folder.get_path("explain"))
