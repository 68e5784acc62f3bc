"""A grid that adds seeds until its claims are decided, on a real Ray: it stops early, and goes on after SIGKILL to the same decisions."""

import json
from pathlib import Path
from typing import Any

import pytest

from platform.report.sequential_plan import read_plan
from tests import tiny
from tests.forking import SharedRay
from trainables.storage.store import RunFolder

GRID = """
import sys
from dataclasses import replace
from pathlib import Path

from platform.cli.command import exit_on_error
from platform.grid.until_decided import run_until_decided
from platform.report.sequential_claims import make_plan
from search_spaces.claims import Claim
from search_spaces.study import Arm
from tests import tiny
from trainables.cell import Data
from trainables.data.source import Source
from trainables.storage.store import RunFolder

runs, csv, ages, most = sys.argv[1:]
sources = {role: Source("fer2013", csv, role, (("ages", ages),)) for role in ("children", "adults")}
arms = {
    "trained": Arm("supervised", {"domain": "c", "lr": 0.1}),
    "idle": Arm("supervised", {"domain": "c", "lr": 1e-9}),
    "twin": Arm("supervised", {"domain": "c", "lr": 1e-8}),
    "diverges": Arm("supervised", {"domain": "c", "lr": 1e30}),
}
claims = (
    Claim("training helps", {"method": "trained"}, {"method": "idle"}),
    Claim("the twin is better", {"method": "twin"}, {"method": "idle"}),
    Claim("what diverges is better", {"method": "diverges"}, {"method": "twin"}),
)
axes = {"method": tuple(arms), "split": (0.5,), "ratio": (1,), "seed": tuple(range(int(most)))}
study = replace(tiny.study(epochs=6), axes=axes, arms=arms, claims=claims, published=())
cells = study.make_cells(tiny.data(sources))
with exit_on_error(runs, resumable=True):
    code = run_until_decided(study, cells, RunFolder(runs), make_plan(study, cells, int(most)), {"slots": 2})
sys.exit(code)
"""
"""`trained` is above `idle` in every seed. `twin` and `idle` stay as they were initialised, so they are equal."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    source = tiny.files(tmp_path_factory.mktemp("data"))["children"]
    return [str(source.path), source.options[0][1]]


@pytest.fixture(scope="module")
def whole(shared_ray: SharedRay, data: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, str]:
    """Return the run folder of an undisturbed grid, and its output."""
    runs = tmp_path_factory.mktemp("whole") / "run"
    code, output = shared_ray.start_code(GRID, str(runs), *data, "20").end()
    assert code == 1, output  # some trainings have failed
    return RunFolder(str(runs)), output


def read_claims(folder: RunFolder) -> dict[str, Any]:
    content = folder.get("report", "report.json")
    assert content
    return {claim["text"]: {name: claim[name] for name in ("standing", "reason", "looks")} for claim in json.loads(content)["claims"]}


def test_it_stops_where_the_claims_are_decided(whole: tuple[RunFolder, str]) -> None:
    folder, output = whole
    claims = read_claims(folder)
    assert claims["training helps"]["standing"] == "supported" and claims["training helps"]["looks"][-1]["look"] == 10
    twin = claims["the twin is better"]
    assert (twin["standing"], twin["reason"], twin["looks"][-1]["look"]) == ("open", "given up as futile", 6)
    failed = claims["what diverges is better"]
    assert (failed["standing"], failed["reason"], failed["looks"][-1]["n"]) == ("open", "given up as futile", 0)
    seeds: dict[object, set[object]] = {}
    for cell in folder.get_cells():
        seeds.setdefault(cell.axes["method"], set()).add(cell.axes["seed"])
    assert {arm: len(numbers) for arm, numbers in seeds.items()} == {"trained": 10, "idle": 10, "twin": 6, "diverges": 6}
    assert len(folder.list_done()) == 26
    assert "24 of at most 80 trainings to do up to the next look" in output and "expected: about " in output
    assert "(at most 80), 6 failed" in output
    for line in ("look at 6 seeds: 2 futile, 1 of 3 claims open", "look at 8 seeds: 2 futile, 1 of 3 claims open"):
        assert output.count(line) == 1, output
    assert "look at 10 seeds: 1 better, 2 futile, 0 of 3 claims open; 32 of at most 80 trainings" in output, output
    assert "6 failed" in output, output


def test_workers_stay_warm_from_look_to_look(whole: tuple[RunFolder, str]) -> None:
    results = [folder_result for cell in whole[0].get_cells() if (folder_result := whole[0].get_result(cell.key))]
    assert len({result["provenance"]["pid"] for result in results}) <= 2
    assert len({result["provenance"]["driver_pid"] for result in results}) == 1


@pytest.mark.slow
def test_a_killed_grid_goes_on_to_the_same_decisions(
    whole: tuple[RunFolder, str], shared_ray: SharedRay, data: list[str], tmp_path: Path
) -> None:
    """The driver is killed twice: within the first block, and within a later one."""
    folder = RunFolder(str(tmp_path / "run"))
    designs = set()
    for ended in (5, 19):
        driver = shared_ray.start_code(GRID, folder.root, *data, "20")
        driver.wait_for(lambda ended=ended: len(folder.list_done()) >= ended)
        driver.kill()
        designs.add(folder.get("sequential.json"))
    before = folder.list_done()
    code, output = shared_ray.start_code(GRID, folder.root, *data, "20").end()
    assert code == 1, output
    designs.add(folder.get("sequential.json"))
    assert len(designs) == 1 and read_plan(folder) == read_plan(whole[0])
    assert before <= folder.list_done() == whole[0].list_done()
    assert read_claims(folder) == read_claims(whole[0])
    assert [cell.key for cell in folder.get_cells()] == [cell.key for cell in whole[0].get_cells()]


def test_the_same_command_trains_nothing_and_another_design_is_refused(
    whole: tuple[RunFolder, str], shared_ray: SharedRay, data: list[str]
) -> None:
    folder = whole[0]
    grid = folder.get("grid.json")
    code, output = shared_ray.start_code(GRID, folder.root, *data, "20").end()
    assert code == 1 and "starting the workers" not in output and "32 of at most 80 trainings" in output, output
    code, output = shared_ray.start_code(GRID, folder.root, *data, "12").end()
    line = "/sequential.json: this run was begun with another design (the most seeds 20, now 12); name another folder with --runs\n"
    assert code != 0 and line in output, output
    assert folder.get("grid.json") == grid


def test_a_plain_grid_and_this_one_share_no_folder(shared_ray: SharedRay, data: list[str], tmp_path: Path) -> None:
    small = ["--only", "method=SL(c),SC(c<-a)", "--only", "split=.5", "--set", "precision=fp32", "--runs", str(tmp_path)]
    folder = RunFolder(str(tmp_path / "adults_as_augmentation-pocket"))
    folder.put_json({"study": "adults_as_augmentation"}, "sequential.json")
    code, output = shared_ray.run("platform.grid", *small)
    line = "its seeds are added until the claims are decided; go on with --until-decided, or name another folder with --runs"
    assert code == 2 and line in output and len(output.strip().splitlines()) == 1, output
    folder.remove("sequential.json")
    folder.put_json({"cells": []}, "grid.json")
    code, output = shared_ray.run("platform.grid", *small, "--until-decided")
    line = "holds a grid of a fixed number of seeds, which --until-decided cannot go on from; name another folder with --runs"
    assert code == 2 and line in output and len(output.strip().splitlines()) == 1, output
