"""A comparison of a tuned arm with an untuned one is marked; of two tuned ones it is not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from platform.report.read_run_folder import read_folder
from platform.report.tuning import read_tuned, write_tuned
from platform.report.write_report import write_report
from search_spaces.search_space import TunedSettings
from search_spaces.study import STUDIES, Study
from tests.fake_run import fake_run
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

WILD = {"encoder": "pocket", "scenario": "wild"}
NOTE = "Unequal tuning under encoder = pocket, scenario = wild: a search found the settings of ALT; SL, SL(gate), PL, PL+ALRAO use the"


def make_study(*arms: str) -> Study:
    study = STUDIES.find("annealed_label_transfer")("pocket").narrow_axis("scenario", ["wild", "web"])
    return replace(study, found=tuple(TunedSettings((arm,), WILD, {"lr": 0.1}) for arm in arms))


def write(path: Path, study: Study) -> tuple[RunFolder, dict[str, object]]:
    folder, _ = fake_run(path, study)
    write_tuned(folder, study.found)
    write_report(folder, study)
    return folder, json.loads(Path(folder.get_path("report", "report.json")).read_text())


def test_a_tuned_arm_against_untuned_ones_is_marked(tmp_path: Path) -> None:
    folder, report = write(tmp_path, make_study("ALT"))
    assert any(note.startswith(NOTE) for note in report["notes"])  # type: ignore[attr-defined]
    marked = "unequal tuning: settings of ALT were searched, those of"
    for row in report["comparisons"]:  # type: ignore[attr-defined]
        pair, here = {row["a"], row["b"]}, row["condition"].get("scenario", "wild") == "wild"
        told = marked in row["note"]
        assert told == ("ALT" in pair and here) or row["family"].startswith("claim"), row
    for claim in report["claims"]:  # type: ignore[attr-defined]
        told = "unequal tuning" in json.dumps(claim)
        assert told == ("ALT" in json.dumps(claim["a"]) + json.dumps(claim["b"])), claim
    page, markdown = (Path(folder.get_path("report", name)).read_text() for name in ("index.html", "report.md"))
    assert "Unequal tuning" in page and "unequal tuning" in page and "Unequal tuning" in markdown
    table = Path(folder.get_path("report", "runs.csv")).read_text().splitlines()
    assert "tuned" in table[0].split(",")


@pytest.mark.parametrize("arms", [(), ("SL", "SL(gate)", "PL", "PL+ALRAO", "ALT")])
def test_none_or_all_are_not(tmp_path: Path, arms: tuple[str, ...]) -> None:
    folder, report = write(tmp_path, make_study(*arms))
    assert "nequal tuning" not in json.dumps(report)
    assert "nequal tuning" not in Path(folder.get_path("report", "index.html")).read_text()


def test_a_later_grid_without_found_settings_forgets_them(tmp_path: Path) -> None:
    folder, _ = fake_run(tmp_path, make_study())
    write_tuned(folder, make_study("ALT").found)
    assert read_tuned(folder) == list(make_study("ALT").found)
    write_tuned(folder, ())
    assert read_tuned(folder) == [] and "tuned" not in read_folder(folder).table


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    folder, _ = fake_run(tmp_path, make_study())
    folder.put_json({"tuned": [1]}, "tuned.json")
    with pytest.raises(BadRequest, match=r"tuned\.json: is damaged"):
        read_tuned(folder)
