"""The grid as a user runs it, in real processes and on a real Ray, which other files share. tests/faults tests processes that die."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from platform.cli.application import make_application
from platform.cli.study_options import read_roles
from platform.grid import __main__ as grid
from tests import tiny
from tests.forking import ForkServer, SharedRay, serve_ray
from trainables.storage.store import RunFolder

GRID = [
    "--only",
    "method=SL(c),SC(c<-a)",
    "--only",
    "split=.5",
    "--seeds",
    "2",
    "--set",
    "per_class=8",
    "--set",
    "probe_epochs=5",
    "--set",
    "precision=fp32",
]
NOT_NUMBERS = {"time"}


def run(shared_ray: SharedRay, runs: Path) -> tuple[int, str]:
    """Run a grid of 8 cells that take a second or less each. Return exit code and output."""
    return shared_ray.run("platform.grid", *GRID, "--set", "epochs=4", "--runs", str(runs))


def folder_of(runs: Path) -> RunFolder:
    return RunFolder(str(runs / "adults_as_augmentation-pocket"))


def numbers(folder: RunFolder) -> dict[str, object]:
    """Return all numbers of all results, by key. They must not depend on slots, order, neighbours or kills."""
    results: dict[str, object] = {}
    for cell in folder.get_cells():
        result = folder.get_result(cell.key)
        assert result is not None, cell.name
        selected = {name: result[name] for name in ("metrics", "selected_epoch", "confusion", "split_hash", "counts", "flags", "classes")}
        rows = [{name: value for name, value in row.items() if name not in NOT_NUMBERS} for row in folder.get_history(cell.key)]
        predictions = {name: array.tolist() for name, array in folder.get_predictions(cell.key).items()}
        results[cell.key] = [selected, rows, predictions]
    return results


@pytest.fixture(scope="module")
def undisturbed(shared_ray: SharedRay, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    runs = tmp_path_factory.mktemp("undisturbed")
    code, output = run(shared_ray, runs)
    assert code == 0, output
    return runs, output


def test_every_training_runs_in_a_train_worker(undisturbed: tuple[Path, str]) -> None:
    folder = folder_of(undisturbed[0])
    cells = folder.get_cells()
    assert len(cells) == 8 and folder.list_done() == {cell.key for cell in cells}
    workers = set()
    for cell in cells:
        provenance = folder.get_result(cell.key)["provenance"]
        assert provenance["trial"] and provenance["world_size"] >= 1 and 0 <= provenance["rank"] < provenance["world_size"]
        assert provenance["pid"] not in (provenance["driver_pid"], provenance["slot_pid"]), "a cell was trained outside a Train worker"
        assert provenance["threads"] == 1
        workers.add(provenance["pid"])
    assert len(workers) <= 2, "workers were not kept warm"


def test_it_ends_in_a_report_and_says_little(undisturbed: tuple[Path, str]) -> None:
    runs, output = undisturbed
    folder = folder_of(runs)
    page = Path(folder.get_path("report", "index.html")).read_text()
    assert "rendered faces" in page and "SC(c&lt;-a)" in page
    assert len(Path(folder.get_path("report", "runs.csv")).read_text().splitlines()) == 1 + 8
    assert json.loads(Path(folder.get_path("report", "report.json")).read_text())
    assert "8/8 trainings done, 0 failed" in output
    assert len(output.splitlines()) < 40, output
    assert not list(Path(folder.get_path("cells")).glob("*/*.aside"))


def test_done_is_done(undisturbed: tuple[Path, str], shared_ray: SharedRay) -> None:
    """No cell is trained twice, and Ray is not started."""
    runs, _ = undisturbed
    before = {path: path.stat().st_mtime_ns for path in Path(folder_of(runs).get_path("cells")).rglob("result.json")}
    code, output = run(shared_ray, runs)
    assert code == 0 and "starting the workers" not in output
    assert before == {path: path.stat().st_mtime_ns for path in Path(folder_of(runs).get_path("cells")).rglob("result.json")}


WORKERS = """
import json, os, signal, sys, threading, time
import ray
from platform.launch import run_with_tune
from trainables.storage.store import RunFolder
from trainables.cell import Cell
from dataclasses import replace

runs, folder = sys.argv[1], RunFolder(sys.argv[2])
ray.init(log_to_driver=False)
cells = list(reversed(folder.get_cells()))
nan = replace(cells[0], method_settings=cells[0].method_settings | {"lr": 1e30})
poison = replace(cells[1], axes=cells[1].axes | {"seed": 77}, method_settings=cells[1].method_settings | {"epochs": 2000})
events, killed = [], []

def listen(event):
    events.append(event)
    if event["kind"] == "row" and event["key"] == poison.key and event["pid"] not in killed:
        os.kill(event["pid"], signal.SIGKILL)
        killed.append(event["pid"])

run_with_tune.run_cells([nan, poison, *cells], RunFolder(runs), listen, gpu=1 / 3, context={"driver_pid": os.getpid()}, checkpoint_s=0.5)
ends = [event for event in events if event["kind"] != "row"]
print(json.dumps({"nan": nan.key, "poison": poison.key, "killed": killed, "ends": ends}))
ray.shutdown()
"""


@pytest.fixture
def gpu_ray(fork_server: ForkServer, shared_ray: SharedRay) -> Iterator[SharedRay]:
    """Yield a Ray that has one logical GPU."""
    with serve_ray(fork_server, {}, gpus=1) as shared:
        yield shared


def test_order_slots_and_dying_neighbours_do_not_matter(undisturbed: tuple[Path, str], gpu_ray: SharedRay, tmp_path: Path) -> None:
    """Three slots share one logical GPU. The cells are in reverse order. One diverges, and one's worker is killed whenever it reports."""
    reference = folder_of(undisturbed[0])
    runs = str(tmp_path / "run")
    code, output = gpu_ray.start_code(WORKERS, runs, reference.root).end()
    assert code == 0, output
    report = json.loads(next(line for line in output.splitlines() if line.startswith('{"nan"')))  # Ray may add lines of its own
    folder = RunFolder(runs)
    folder.put_grid("adults_as_augmentation", "pocket", reference.get_cells())
    assert numbers(folder) == numbers(reference)
    assert len(report["killed"]) == 3
    assert len({folder.get_result(cell.key)["provenance"]["rank"] for cell in folder.get_cells()}) > 1
    assert folder.get_result(folder.get_cells()[0].key)["provenance"]["world_size"] == 3

    error = folder.get_error(report["nan"])
    assert error["epoch"] == 0 and "nan" in error["reason"]
    assert "died 3 times" in folder.get_error(report["poison"])["reason"]
    ends = [end["key"] for end in report["ends"]]
    assert sorted(ends) == sorted({*ends}) and len(ends) == 10


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["no_study"], "unknown study 'no_study'"),
        (["--scale", "pokket"], "unknown scale 'pokket'; did you mean pocket?"),
        (["--only", "metod=SL(c)"], "unknown axis of adults_as_augmentation 'metod'; did you mean method?"),
        (["--only", "method=SC(a)"], "unknown value of axis method 'SC(a)'"),
        (["--only", "split"], "--only split: expected --only AXIS=V,V"),
        (["--set", "epoch=3"], "did you mean epochs?"),
        (["--set", "epochs=many"], "setting epochs='many' of method supervised"),
        (["--set", "ratio=0"], "ratio is an axis"),
        (["--set", "domain=c"], "is set by the axis method"),
        (["--set", "classes=[anger, joy]"], "not all data sets have the class joy"),
        (["--set", "size=16"], "hog: size must be 32 or more"),
        (["--set", "encoder=resnet"], "did you mean resnet18?"),
        (["--set", "encoder_settings.stem=cifar"], "stem"),
        (["--seeds", "0"], "--seeds 0: at least one"),
        (["--data", "children=fer2013:/nowhere/fer2013.csv,ages=/nowhere/ages.csv"], "/nowhere/fer2013.csv"),
        (["--data", "grandparents=faces"], "unknown role of adults_as_augmentation 'grandparents'"),
        (["--data", "children=fer2014:/x"], "did you mean fer2013?"),
        (["--data", "children=fer:/x"], "did you mean fer2013 or fer2013_folders or ferplus?"),
        (["--data", "children=rafdb"], "rafdb needs a path: rafdb:PATH"),
        (["--data", "children=fer2013:/nowhere/fer2013.csv"], "/nowhere/fer2013.csv: no such file"),
        (["--data", "/nowhere/conf.yaml"], "/nowhere/conf.yaml: no such file"),
        (["--use", "/nowhere/best.json"], "/nowhere/best.json: no such file"),
        (["20", "--set", "epochs"], "'20' is not a study; did you mean --set epochs=20?"),
        (["--set", "seeds=3"], "seeds is an option: --seeds 3"),
        (["ciao", "--set", "data=FER2013"], "data is an axis of ciao"),
        (["--only", "split=0.6"], "; --scale paper also has 0.7"),
        (["--runs", "/proc/nowhere"], "cannot create /proc/nowhere/adults_as_augmentation-pocket (no such file); nothing was started"),
    ],
)
def test_a_bad_request_is_one_line(options: list[str], line: str, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    app = make_application(grid.main)
    runs = [] if "--runs" in options else ["--runs", str(tmp_path)]
    outcome = CliRunner().invoke(app, [*options, *runs])
    assert outcome.exit_code == 2, outcome.output
    assert line in outcome.output and len(outcome.output.strip().splitlines()) == 1, outcome.output
    assert not list(tmp_path.iterdir())


def test_dry_run_starts_nothing(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    outcome = CliRunner().invoke(make_application(grid.main), [*GRID, "--dry-run", "--runs", str(tmp_path)])
    assert outcome.exit_code == 0 and "8" in outcome.output
    assert "images: " in outcome.output and "copies: no image is on two sides of training, selection and test" in outcome.output
    assert not list(tmp_path.iterdir())


def test_what_a_reader_drops_is_kept_with_the_grid(tmp_path: Path) -> None:

    source = tiny.files(tmp_path)["children"]
    csv, ages = Path(source.path), source.options[0][1]
    lines = csv.read_text().splitlines()
    emotion, pixels, usage = lines[1].split(",")
    csv.write_text("\n".join([lines[0], f"{emotion},{' '.join(['7'] * len(pixels.split()))},{usage}", *lines[2:], ""]))
    data = read_roles(tiny.study(), [f"{role}=fer2013:{csv},ages={ages}" for role in ("children", "adults")])
    assert any("constant" in note for note in data["children"].notes), data["children"].notes
    folder = RunFolder(str(tmp_path / "run"))
    folder.put_grid("a_study", "pocket", tiny.study().make_cells(data))
    assert folder.get_cells()[0].data == data


def test_predictions_are_of_the_test_set(undisturbed: tuple[Path, str]) -> None:
    folder = folder_of(undisturbed[0])
    for cell in folder.get_cells():
        result, predictions = folder.get_result(cell.key), folder.get_predictions(cell.key)
        n = sum(result["counts"]["test"])
        assert predictions["probabilities"].shape == (n, 7) and len(predictions["index"]) == len(predictions["subject"]) == n
        np.testing.assert_allclose(predictions["probabilities"].sum(1), 1, atol=1e-5)
        right = (predictions["probabilities"].argmax(1) == predictions["label"]).mean()
        assert right == pytest.approx(result["metrics"]["test/accuracy"])


def test_slots_follow_the_machine() -> None:
    from platform.launch import run_with_tune

    assert run_with_tune.count_slots({"CPU": 8.0}, 0.0, None) == 8
    assert run_with_tune.count_slots({"CPU": 8.0, "GPU": 2.0}, 0.25, None) == 8
    assert run_with_tune.count_slots({"CPU": 8.0, "GPU": 2.0}, 1.0, None) == 2
    assert run_with_tune.count_slots({"CPU": 128.0, "GPU": 7.0}, 0.07, None) == 100
    assert run_with_tune.count_slots({"CPU": 8.0}, 0.0, 3) == 3
    with pytest.raises(run_with_tune.Fatal, match="no GPU here"):
        run_with_tune.count_slots({"CPU": 8.0}, 0.5, None)
