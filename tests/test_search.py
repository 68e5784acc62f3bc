"""The search as a user runs it: on a real Ray, killed with SIGKILL during the search, and its files at the end."""

import json
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2
from typer.testing import CliRunner

from platform.cli.application import make_application
from platform.grid import __main__ as grid
from platform.search import __main__ as search
from tests.faults import processes
from tests.forking import SharedRay
from tests.running import Process
from trainables.cell import Cell
from trainables.loop import make_task
from trainables.storage.store import RunFolder

SETTINGS = {"epochs": 10, "lr": 0.004, "weight": 10, "batch": 16, "size": 32, "validation": 0.4, "extra_images": 4, "precision": "fp32"}
"""with these settings the searched hyperparameters affect the score of so small a training; the learning rate is too low, so that a search
finds a better one"""
SMALL = ["--only", "scenario=wild,web", *(word for name, value in SETTINGS.items() for word in ("--set", f"{name}={value}"))]
TRIALS = 4
SEARCH = ["--arm", "ALT", "--trials", str(TRIALS), "--seeds", "2", "--fresh", "2", "--slots", "1"]
CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return options of a study that trains a cell in half a second, with two labelled sets and an unlabelled pool of patterns."""
    root, labels = tmp_path_factory.mktemp("data"), np.tile(np.arange(len(CLASSES)), 24)
    for seed, role in enumerate(("wild", "web", "pool")):
        noise = np.random.default_rng(seed).integers(0, 200, (len(labels), 32, 32))
        bright = np.arange(32)[None] * len(CLASSES) // 32 == labels[:, None]  # a band whose vertical position is the class
        for number, (picture, label) in enumerate(zip(np.minimum(noise + 95 * bright[..., None], 255), labels, strict=True)):
            folder = root / role if role == "pool" else root / role / CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.astype(np.uint8)).save(folder / f"{number}.png")
            if role == "pool" and number == 40:
                break
    data = (f"wild=folders:{root}/wild", f"web=folders:{root}/web", f"pool=images:{root}/pool")
    return [*SMALL, *(word for source in data for word in ("--data", source))]


def start(ray: SharedRay, runs: Path, *options: str) -> Process:
    return ray.start("platform.search", "annealed_label_transfer", "--runs", str(runs), *options)


def run(ray: SharedRay, runs: Path, *options: str) -> tuple[int, str]:
    return start(ray, runs, *options).end()


def studies(folder: RunFolder) -> dict[str, optuna.Study]:
    """Return the Optuna studies by arm and condition, opened as optuna-dashboard opens them."""
    storage = JournalStorage(JournalFileBackend(folder.get_path("search.journal")))
    names = [summary.study_name for summary in optuna.get_all_study_summaries(storage)]
    return {name.split("#")[0]: optuna.load_study(study_name=name, storage=storage) for name in names}


def describe(study: optuna.Study) -> list[Any]:
    return [(trial.params, trial.state, trial.value, trial.intermediate_values) for trial in study.trials]


@pytest.fixture(scope="module")
def searched(shared_ray: SharedRay, small: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunFolder, str, set[str]]:
    """Return a search of two conditions that was killed with SIGKILL once and then continued to its end."""
    runs = tmp_path_factory.mktemp("runs")
    folder = RunFolder(str(runs / "annealed_label_transfer-pocket-search"))
    first = start(shared_ray, runs, *small, *SEARCH)
    first.wait_for(lambda: len(folder.list_done()) >= 5)
    processes.kill(processes.driver_of(first.pid))
    assert first.end()[0] == 2
    before = folder.list_done()
    assert not folder.files.exists(folder.get_path("best.json"))
    assert any(trial.state == TrialState.RUNNING for study in studies(folder).values() for trial in study.trials), "killed too late"
    code, output = run(shared_ray, runs, *small, *SEARCH)
    assert code == 0, output
    return runs, folder, output, before


def test_a_killed_search_goes_on_to_its_end(searched: tuple[Path, RunFolder, str, set[str]]) -> None:
    _, folder, _, before = searched
    assert before <= folder.list_done()
    for study in studies(folder).values():
        assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * TRIALS
        published = {"temperature": 0.2, "cooling": 0.75, "slope": 0.75, "noise": "scale", "gate_loss": "sum", "lr": SETTINGS["lr"]}
        assert study.trials[0].params == published | {"margin": "annealed"}
        for trial in study.trials:
            assert len(trial.user_attrs["scores"]) == 2 and trial.value == pytest.approx(sum(trial.user_attrs["scores"]) / 2)
    assert len(folder.list_done()) == 2 * TRIALS * 2, "a seed was trained under two keys, or not at all"


def test_the_scores_are_those_of_the_images_that_select(searched: tuple[Path, RunFolder, str, set[str]]) -> None:
    """The scores are recomputed from the results: val/accuracy by settings and condition. No test score is among them."""
    _, folder, _, _ = searched
    scores: dict[Any, list[float]] = {}
    for key in folder.list_done():
        cell = json.loads(folder.get("cells", key, "cell.json") or b"")
        tried = cell["axes"]["scenario"], *(cell["method_settings"][name] for name in ("temperature", "cooling", "slope", "noise", "lr"))
        scores.setdefault(tried, []).append(folder.get_result(key)["metrics"]["val/accuracy"])  # type: ignore[index]
    for name, study in studies(folder).items():
        scenario = name.split("scenario=")[1].split("/")[0]
        for trial in study.trials:
            params = {"slope": 0.0} | trial.params
            trial_scores = scores[scenario, *(params[name] for name in ("temperature", "cooling", "slope", "noise", "lr"))]
            assert sorted(trial_scores) == sorted(trial.user_attrs["scores"])


def test_best_json_pictures_and_the_lines(searched: tuple[Path, RunFolder, str, set[str]]) -> None:
    _, folder, output, _ = searched
    best = folder.get_json("best.json")
    assert {entry["condition"]["scenario"] for entry in best["found"]} == {"wild", "web"}
    assert best["searcher"]["name"] == "optuna" and best["searcher"]["version"] == version("optuna")
    assert best["searcher"]["settings"] == {"n_startup_trials": 10, "multivariate": True, "group": True, "constant_liar": True}
    for entry in best["found"]:
        (study,) = (study for name, study in studies(folder).items() if f"scenario={entry['condition']['scenario']}" in name)
        settings = {name: value for name, value in study.best_trial.params.items() if name != "margin"}
        assert entry["settings"] == {"slope": 0.0} | settings and entry["mean"] == study.best_value >= entry["text"]["mean"]
    for condition in ("method=ALT,encoder=pocket,scenario=wild", "method=ALT,encoder=pocket,scenario=web"):
        drawn = {path.name for path in Path(folder.get_path("figures", condition)).iterdir()}
        assert {"history.svg", "parallel.png", "contour.png"} <= drawn
        assert condition.replace(",", "/") in output
    assert len(output.splitlines()) < 60, output


def test_each_suggestion_is_a_tensorboard_run_with_what_was_searched(searched: tuple[Path, RunFolder, str, set[str]]) -> None:
    _, folder, _, _ = searched
    where = "method=ALT/encoder=pocket/scenario=wild"
    study = studies(folder)[where]
    for trial in study.trials:
        events = EventAccumulator(folder.get_path("tb", where, f"{trial.number:04d}"))
        events.Reload()
        assert events.Scalars("score/mean")[-1].value == pytest.approx(trial.value)
        assert len(events.Scalars("val/accuracy")) == SETTINGS["epochs"], "one point an epoch"
        content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
        start_info = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
        assert start_info.hparams["temperature"].number_value == trial.params["temperature"]
        assert start_info.hparams["noise"].string_value == trial.params["noise"]
        assert start_info.hparams["scenario"].string_value == "wild" and start_info.hparams["method"].string_value == "ALT"
        assert start_info.hparams["pruned"].bool_value is False


def test_what_was_found_is_held_against_the_text_on_fresh_seeds(searched: tuple[Path, RunFolder, str, set[str]]) -> None:
    _, folder, _, _ = searched
    fresh = RunFolder(folder.get_path("fresh"))
    cells = fresh.get_cells()
    assert {cell.seed for cell in cells} == {2, 3} and {cell.axes["method"] for cell in cells} == {"ALT", "ALT(found)"}
    best = folder.get_json("best.json")["found"]
    assert best_file(folder)["fixed_test"] == {"wild": 0.45, "web": 0.45}
    better = [entry["condition"]["scenario"] for entry in best if entry["settings"] != entry["text"]["settings"]]
    assert {cell.axes["scenario"] for cell in cells} == set(better), "the paper's own settings need no comparison with themselves"
    assert fresh.list_done() == {cell.key for cell in cells} and len(cells) == 2 * 2 * len(better)
    report = json.loads(Path(fresh.get_path("report", "report.json")).read_text())
    compared = [row for row in report["comparisons"] if row["family"] == "confirmatory"]
    assert len(compared) == len(better) and all({row["a"], row["b"]} == {"ALT", "ALT(found)"} for row in compared)


def best_file(folder: RunFolder) -> Any:
    return folder.get_json("best.json")


def test_no_image_that_selected_is_tested_on(searched: tuple[Path, RunFolder, str, set[str]]) -> None:
    """The search saw labels of training, gate and selection images under its seeds; the comparison tests on others, under new seeds."""
    _, folder, _, _ = searched
    seen: dict[str, set[int]] = {"wild": set(), "web": set()}
    for key in folder.list_done():
        cell = Cell.from_json(json.loads(folder.get("cells", key, "cell.json") or b""))
        task = make_task(cell, torch.device("cpu"))
        seen[str(cell.axes["scenario"])].update(row for part in (task.train, task.gate, task.val) for row in part.rows)  # type: ignore[union-attr]
    for cell in RunFolder(folder.get_path("fresh")).get_cells():
        task = make_task(cell, torch.device("cpu"))
        assert seen[str(cell.axes["scenario"])] and not seen[str(cell.axes["scenario"])] & set(task.test.rows)


def test_done_is_done_and_more_trials_extend(
    searched: tuple[Path, RunFolder, str, set[str]], shared_ray: SharedRay, small: list[str]
) -> None:
    runs, folder, _, _ = searched
    first = {name: [trial.params for trial in study.trials] for name, study in studies(folder).items()}
    code, output = run(shared_ray, runs, *small, *SEARCH)
    assert code == 0 and "starting the workers" not in output, output
    code, output = run(shared_ray, runs, *small, *SEARCH, "--trials", str(TRIALS + 1), "--fresh", "0", "--searcher", "hyperopt")
    assert code == 0, output
    for name, study in studies(folder).items():
        assert [trial.params for trial in study.trials[:TRIALS]] == first[name] and len(study.trials) == TRIALS + 1
        assert study.trials[TRIALS].user_attrs["searcher"].startswith("hyperopt")


def test_a_grid_uses_what_was_found(
    searched: tuple[Path, RunFolder, str, set[str]], small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder, _, _ = searched
    trained: list[Cell] = []
    # this test checks the cells that the grid receives
    monkeypatch.setattr("platform.grid.run.run_grid", lambda study, cells, *more: trained.extend(cells) or 0)
    use = ["--use", folder.get_path("best.json"), *small, "--only", "method=ALT", "--seeds", "1"]
    outcome = CliRunner().invoke(make_application(grid.main), ["annealed_label_transfer", "--runs", str(tmp_path), *use])
    assert outcome.exit_code == 0 and len(trained) == 2, outcome.output
    best = {entry["condition"]["scenario"]: entry["settings"] for entry in folder.get_json("best.json")["found"]}
    for cell in trained:
        assert best[cell.axes["scenario"]].items() <= cell.method_settings.items()  # type: ignore[index]


PRUNED = [*SEARCH, "--only", "scenario=wild", "--scheduler", "asha", "--trials", "7", "--fresh", "0"]


def test_an_asha_search_that_is_killed_ends_as_one_that_is_not(shared_ray: SharedRay, small: list[str], tmp_path: Path) -> None:
    """One slot: the order of the decisions is always the same."""
    code, output = run(shared_ray, tmp_path / "whole", *small, *PRUNED)
    assert code == 0, output
    (whole,) = studies(RunFolder(str(tmp_path / "whole/annealed_label_transfer-pocket-search"))).values()
    states = [trial.state for trial in whole.trials]
    assert TrialState.PRUNED in states and states[0] == TrialState.COMPLETE and set(states) <= {TrialState.PRUNED, TrialState.COMPLETE}
    stopped = [trial for trial in whole.trials if trial.state == TrialState.PRUNED]
    assert f"ASHA stopped {len(stopped)} of 7 suggestions" in output and "% of the epochs" in output
    folder = RunFolder(str(tmp_path / "parts/annealed_label_transfer-pocket-search"))
    first = start(shared_ray, tmp_path / "parts", *small, *PRUNED)
    first.wait_for(lambda: len(folder.list_done()) >= 3)
    processes.kill(processes.driver_of(first.pid))
    assert first.end()[0] == 2
    code, output = run(shared_ray, tmp_path / "parts", *small, *PRUNED)
    assert code == 0, output
    (resumed,) = studies(folder).values()
    assert describe(resumed) == describe(whole)
    done = folder.list_done()
    checkpoints = {path.parent.name for path in Path(folder.get_path("cells")).glob("*/checkpoint.pt")}
    assert checkpoints <= done, "what will never be resumed keeps no checkpoint"


def test_every_strategy_is_tuned_by_a_search_of_its_own(shared_ray: SharedRay, small: list[str], tmp_path: Path) -> None:
    options = ["--arm", "SL", "--arm", "PL", "--only", "scenario=wild", "--trials", "3", "--seeds", "1", "--fresh", "2"]
    code, output = run(shared_ray, tmp_path, *small, *options)
    folder = RunFolder(str(tmp_path / "annealed_label_transfer-pocket-search"))
    assert code == 0, output
    assert {name: len(study.trials) for name, study in studies(folder).items()} == {
        f"method={arm}/encoder=pocket/scenario=wild": 3 for arm in ("SL", "PL")
    }
    assert [entry["arm"] for entry in best_file(folder)["found"]] == ["SL", "PL"]
    report = json.loads(Path(folder.get_path("fresh", "report", "report.json")).read_text())
    asked = [claim["text"] for claim in report["claims"]]
    assert asked[:2] == ["the settings found beat the paper's (SL)", "the settings found beat the paper's (PL)"]
    assert "pseudo-labels beat learning from the labelled images alone, all tuned" in asked


def test_a_suggestion_that_diverges_has_failed_and_the_search_goes_on(shared_ray: SharedRay, small: list[str], tmp_path: Path) -> None:
    code, output = run(
        shared_ray, tmp_path, *small, *SEARCH, "--only", "scenario=wild", "--trials", "2", "--seeds", "1", "--set", "weight_decay=1e30"
    )
    folder = RunFolder(str(tmp_path / "annealed_label_transfer-pocket-search"))
    (study,) = studies(folder).values()
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 2 and "loss" in study.trials[0].user_attrs["reason"]
    assert code == 1 and "no suggestion ended with a score" in output.splitlines()[-1], output
    assert not any(math.isfinite(trial.value or math.nan) for trial in study.trials)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--searcher", "tpe"], "unknown searcher 'tpe'"),
        (["--scheduler", "ahsa"], "did you mean asha"),
        (["--arm", "PL+CIAO"], "unknown searched arm of annealed_label_transfer"),
        (["--only", "scenario=wlid"], "did you mean wild"),
        (["--arm", "ALT", "--only", "method=SL"], "must include it"),
        (["--set", "epochs=0"], "setting epochs=0"),
        (["--runs", "memory://x"], "in a local folder"),
    ],
)
def test_a_bad_request_is_one_line_before_anything_starts(tmp_path: Path, options: list[str], said: str) -> None:
    outcome = CliRunner().invoke(make_application(search.main), ["annealed_label_transfer", "--runs", str(tmp_path), *options])
    assert outcome.exit_code == 2 and said in outcome.output.splitlines()[-1], outcome.output
    assert "Traceback" not in outcome.output and not list(tmp_path.rglob("result.json"))


def test_the_record_of_an_earlier_version_is_refused_before_anything_starts(small: list[str], tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "annealed_label_transfer-pocket-search"))
    folder.make_folder(folder.uri)
    storage = JournalStorage(JournalFileBackend(folder.get_path("search.journal")))
    study = optuna.create_study(storage=storage, study_name="encoder=pocket/scenario=wild#0123abcd", direction="maximize")
    study.ask({"slope": optuna.distributions.FloatDistribution(0, 2)})
    options = ["annealed_label_transfer", "--runs", str(tmp_path), *small, *SEARCH]
    outcome = CliRunner().invoke(make_application(search.main), options)
    last = outcome.output.splitlines()[-1]
    assert outcome.exit_code == 2 and "Traceback" not in outcome.output, outcome.output
    assert "search.journal" in last and "flat search space of an earlier version; move the file away to begin anew" in last


def test_a_study_without_a_search_names_those_that_have_one() -> None:
    outcome = CliRunner().invoke(make_application(search.main), ["adults_as_augmentation"])
    assert outcome.exit_code == 2 and "annealed_label_transfer" in outcome.output.splitlines()[-1]
