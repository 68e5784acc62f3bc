"""Tests of the explain command on trained networks: sheets, numbers, table, TensorBoard and report, and what it refuses."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from platform.cli.application import make_application
from platform.explain.__main__ import main
from search_spaces.study import Study
from tests import tiny
from trainables.loop import train_cell
from trainables.storage.store import RunFolder


def study(**settings: Any) -> Study:
    whole = tiny.study(**{"epochs": 3, "lr": 0.02} | settings)
    axes: dict[str, Any] = {"method": ("SC(c)", "SC(c<-a)"), "split": (0.5,), "ratio": (1, 2), "seed": (0, 1)}
    return replace(whole, axes=axes)


def made(place: Path, **settings: Any) -> RunFolder:
    """Train both methods and seeds at the larger ratio, and nothing at the other. Return the run folder."""
    small, folder = study(**settings), RunFolder(str(place / "run"))
    cells = small.make_cells(tiny.data(tiny.files(place / "data")))
    folder.put_grid(small.name, small.scale, cells)
    for cell in cells:
        if cell.axes["ratio"] == 2:
            train_cell(cell, folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return made(tmp_path_factory.mktemp("explained"))


def explain(folder: RunFolder, *options: str) -> Result:
    return CliRunner().invoke(make_application(main), [folder.root, *options])


def files(folder: RunFolder, *place: str) -> dict[str, bytes]:
    root = Path(folder.get_path("explain", *place))
    return {path.name: path.read_bytes() for path in sorted(root.iterdir()) if path.is_file()}


def place(result: Result) -> list[str]:
    """Return the folder, below explain/, that the last line names."""
    return result.stdout.splitlines()[-1].rpartition("/explain/")[2].split("/")


@pytest.mark.parametrize("how", ["gradcam", "gradcam++", "saliency"])
def test_sheets_board_and_report(run: RunFolder, how: str) -> None:
    result = explain(run, "--how", how, "--count", "4")
    assert result.exit_code == 0, result.output
    subfolder = how.replace("+", "p")
    written = files(run, subfolder)
    sheets = [name for name in written if name.endswith(".png")]
    assert len([name for name in sheets if name.startswith("sheet-")]) == 4 and "averages.png" in sheets
    assert {name.replace(".png", ".svg") for name in sheets} == {name for name in written if name.endswith(".svg")}
    assert any(name.startswith("steps-") for name in sheets) == (how == "saliency")
    summary = json.loads(written["explain.json"])
    assert summary["condition"] == {"split": 0.5, "ratio": 2} and summary["shares"] == []
    assert "the data sets have no boxes of face regions" in result.output
    sheet = written[next(name for name in written if name.startswith("sheet-01") and name.endswith(".svg"))].decode()
    assert sheet.count("<image") == 1 + 2 * 2 and "true class: " in sheet and "seed 1" in sheet
    assert sheet.index("SC(c&lt;-a)") < sheet.index("SC(c)")  # figure 4 of the paper: with adults above without
    figure = written["figure.svg"].decode()
    assert figure.count("<image") == 3 * (1 + 2 * 2) and figure.count("true class: ") == 3
    page = Path(run.get_path("report", "index.html")).read_text()
    assert f"Saliency maps: {how}" in page and page.count("data:image/svg+xml;base64,") >= 5 and "These are photographs" in page
    assert list(Path(run.get_path("tb", "explain", subfolder)).glob("events.*"))
    assert explain(run, "--how", how, "--count", "4").exit_code == 0 and files(run, subfolder) == written  # the same bytes again


def test_borders_say_what_the_predictions_say(run: RunFolder) -> None:
    """For the test images of a single seed, the answers on the sheets are the predictions that the run stored."""
    result = explain(run, "--only", "seed=0", "--only", "method=SC(c)", "--count", "20")
    assert result.exit_code == 0, result.output
    cell = next(cell for cell in run.get_cells() if cell.axes == {"method": "SC(c)", "split": 0.5, "ratio": 2, "seed": 0})
    stored = run.get_predictions(cell.key)
    right = int((stored["probabilities"].argmax(1) == stored["label"]).sum())
    sheets = [
        content.decode() for name, content in files(run, *place(result)).items() if name.startswith("sheet-") and name.endswith(".svg")
    ]
    green = sum("#1a9641" in sheet for sheet in sheets)
    assert len(sheets) == 20 and not any("stroke-dasharray" in sheet for sheet in sheets)  # test images were never trained on
    assert abs(green - 20 * right / len(stored["label"])) <= len(stored["label"]) - 20


def test_ones_own_pictures(run: RunFolder, tmp_path: Path) -> None:
    labels = np.array([0, 1, 2])
    for label, picture in zip(labels, tiny.pictures(labels, seed=9, size=80), strict=True):
        folder = tmp_path / "mine" / (tiny.CLASSES[label] if label else "=unsorted")
        folder.mkdir(parents=True)
        Image.fromarray(picture).save(folder / "face.png")
    Image.fromarray(np.zeros((40, 40), np.float32)).save(tmp_path / "mine" / "floats.tif")
    report = Path(run.get_path("report", "index.html")).read_bytes() if Path(run.get_path("report", "index.html")).exists() else None
    result = explain(run, "--images", str(tmp_path / "mine"))
    assert result.exit_code == 0, result.output
    assert "floats.tif: cannot be read as an image (its pixels have 32 bits" in result.output
    table = pd.read_csv(run.get_path("explain", *place(result), "predictions.csv"), keep_default_na=False)
    assert len(table) == 3 * 2 * 3 and set(table["method"]) == {"SC(c)", "SC(c<-a)"} and set(table["seed"]) == {"0", "1", "mean"}
    assert dict(zip(table["picture"], table["true"], strict=True)) == {
        "fear/face.png": "fear",
        "happiness/face.png": "happiness",
        "'=unsorted/face.png": "",  # a spreadsheet does not compute it
    }
    numbers = table[[f"p_{name}" for name in tiny.CLASSES]].to_numpy(float)
    assert np.allclose(numbers.sum(1), 1, atol=2e-3)
    sheets = files(run, *place(result))
    assert len([name for name in sheets if name.endswith(".png")]) == 3 and "not known" in sheets["001-face.svg"].decode()
    if report is not None:
        assert Path(run.get_path("report", "index.html")).read_bytes() == report  # the user's own pictures are not in the report


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--how", "gradcamm"], "unknown --how 'gradcamm'; did you mean gradcam"),
        (["--class", "truth"], "unknown --class 'truth'; did you mean true? (known: "),
        (["--layer", "stage.1"], "unknown layer 'stage.1'; did you mean stages.1? (known: "),
        (["--how", "saliency", "--layer", "stages.1"], "--layer stages.1: saliency has no layer; leave the option out"),
        (["--only", "split"], "--only split: expected --only AXIS=V,V"),
        (["--only", "splits=.5"], "unknown axis of adults_as_augmentation 'splits'; did you mean split?"),
        (["--only", "split=.7"], "unknown value of axis split '.7'"),
        (["--only", "ratio=1"], "of 4 trainings asked for none is finished; python -m platform.grid trains them"),
        (["--images", "/nowhere"], "--images /nowhere: no such folder"),
    ],
)
def test_what_cannot_be_is_one_line(run: RunFolder, options: list[str], message: str) -> None:
    result = explain(run, *options)
    assert result.exit_code == 2 and message in result.output and result.output.count("\n") == 1


def test_a_run_without_parameters_or_no_run_is_one_line(run: RunFolder, tmp_path: Path) -> None:
    result = explain(RunFolder(str(tmp_path / "none")))
    assert result.exit_code == 2 and "no run here" in result.output and result.output.count("\n") == 1
    damaged = RunFolder(str(tmp_path / "damaged"))
    for content in (b"", b"[1]", (run.get("grid.json") or b"").replace(b"SC(c)", b"SM(c)", 1)):
        damaged.put(content, "grid.json")
        result = explain(damaged)
        assert (
            result.exit_code == 2 and f"{damaged.get_path('grid.json')}: is not a grid" in result.output and result.output.count("\n") == 1
        )


def test_a_run_that_kept_no_parameters_is_one_line(tmp_path: Path) -> None:
    folder, small = RunFolder(str(tmp_path / "run")), study(epochs=1)
    cells = (
        small.narrow_axis("method", ["SC(c)"])
        .narrow_axis("ratio", ["2"])
        .with_seeds(1)
        .make_cells(tiny.data(tiny.files(tmp_path / "data")))
    )
    folder.put_grid(small.name, small.scale, cells)
    train_cell(cells[0], folder, keep="none")
    result = explain(folder)
    assert result.exit_code == 2 and result.output.count("\n") == 1
    assert "of 1 trainings asked for none has kept its parameters; train them in another folder" in result.output


def test_a_call_leaves_the_pictures_of_other_calls(run: RunFolder) -> None:
    """The same request in another order has the same folder; any other has its own, in TensorBoard and in the report, too."""
    calls: list[tuple[str, ...]] = [(), ("--only", "seed=0", "--only", "method=SC(c)"), ("--only", "seed=0"), ("--class", "predicted")]
    calls += [("--layer", "stages.2"), ("--layer", "last"), ("--only", "method=SC(c)", "--only", "seed=0")]
    places = []
    for options in calls:
        result = explain(run, "--count", "1", *options)
        assert result.exit_code == 0, result.output
        places.append(place(result))
    assert places[0] == ["gradcam"] and places[1] == places[-1] and len({tuple(parts) for parts in places}) == len(calls) - 1
    assert all({"averages.png", "explain.json"} <= files(run, *parts).keys() for parts in places)
    assert all(list(Path(run.get_path("tb", "explain", *parts)).glob("events.*")) for parts in places)
    page = Path(run.get_path("report", "index.html")).read_text()
    assert (
        len(re.findall("<h2[^>]*>Saliency maps: gradcam, at", page)) == len(calls) - 2
        and len(re.findall("<h2[^>]*>Saliency maps: gradcam of the predicted class, at", page)) == 1
    )


def test_the_class_may_be_the_predicted_one(run: RunFolder) -> None:
    """Maps differ where a network is wrong, and nowhere else; the mean maps are of images predicted as the class."""
    found = {}
    for of in ("true", "predicted"):
        result = explain(run, "--only", "seed=1", "--only", "method=SC(c)", "--count", "40", "--class", of)
        assert result.exit_code == 0, result.output
        found[of] = files(run, *place(result))
    sheets = [name for name in found["true"] if name.startswith("sheet-") and name.endswith(".svg")]
    wrong = {name for name in sheets if "#d7191c" in found["true"][name].decode()}
    maps = {of: {name: content[name].decode().split("<image")[2].split("/>")[0] for name in sheets} for of, content in found.items()}
    assert {name for name in sheets if maps["true"][name] != maps["predicted"][name]} == wrong and 0 < len(wrong) < len(sheets)
    cell = next(cell for cell in run.get_cells() if cell.axes == {"method": "SC(c)", "split": 0.5, "ratio": 2, "seed": 1})
    stored = run.get_predictions(cell.key)
    counts = np.bincount(stored["probabilities"].argmax(1), minlength=3)
    averages = found["predicted"]["averages.svg"].decode()
    assert [f"{count:,} maps" in averages for count in counts if count] == [True] * int((counts > 0).sum())


def test_some_without_parameters_are_left_out_and_said(run: RunFolder, tmp_path: Path) -> None:
    partial = RunFolder(str(tmp_path / "some"))
    for path in Path(run.root).rglob("*"):
        if path.is_file() and path.relative_to(run.root).parts[0] in ("cells", "grid.json"):
            partial.put(path.read_bytes(), *path.relative_to(run.root).parts)
    cell = next(cell for cell in partial.get_cells() if cell.key in partial.list_kept())
    partial.remove("cells", cell.key, "checkpoint.pt")
    result = explain(partial, "--count", "1")
    assert result.exit_code == 0 and "1 of 4 trainings are not finished or have kept no parameters: left out" in result.output
