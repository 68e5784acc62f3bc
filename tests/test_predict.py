"""Predictions of model files: the run's own numbers from picture files, folders, and files that cannot be used."""

import csv
import io
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from platform.cli.application import make_application
from platform.export.export_training import export_training
from platform.predict.__main__ import main
from platform.predict.model_file import FORMATS
from tests import tiny
from trainables.loop import make_task, train_cell
from trainables.storage.store import RunFolder


def predict(*words: object) -> Result:
    return CliRunner().invoke(make_application(main), [*map(str, words)])


def read_rows(result: Result) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(result.stdout)))


def read_scores(result: Result) -> np.ndarray:
    return np.array([[float(row[f"p_{name}"]) for name in tiny.CLASSES] for row in read_rows(result)])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model in each format, the test images of its training as files, and their stored predictions."""
    place = tmp_path_factory.mktemp("predicted")
    cell, folder = tiny.cell(tiny.data(tiny.files(place / "data")), "SL(c)", lr=0.02), RunFolder(str(place / "run"))
    folder.put_grid(cell.study, cell.scale, [cell])
    train_cell(cell, folder)
    for kind, suffix in FORMATS.items():
        shutil.copy(export_training(folder, cell.key, kind, RunFolder(str(place / "models"))).path, place / f"model{suffix}")
    pixels = make_task(cell, torch.device("cpu")).test.pixels.numpy()
    (place / "faces" / "deep").mkdir(parents=True)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture[0]).save(place / "faces" / ("deep" if number > 5 else "") / f"{number:03}.png")
    np.save(place / "stored.npy", folder.get_predictions(cell.key)["probabilities"])
    return place


@pytest.fixture
def stored(place: Path) -> np.ndarray:
    predictions: np.ndarray = np.load(place / "stored.npy")
    return predictions


@pytest.mark.parametrize("suffix", FORMATS.values())
def test_pictures_have_the_predictions_that_the_run_stored(place: Path, stored: np.ndarray, suffix: str) -> None:
    result = predict(place / f"model{suffix}", place / "faces")
    assert result.exit_code == 0 and not result.stderr, result.output
    rows = read_rows(result)
    assert list(rows[0]) == ["file", "class", *(f"p_{name}" for name in tiny.CLASSES)]
    assert [row["file"] for row in rows] == sorted(str(path) for path in (place / "faces").rglob("*.png"))
    assert np.abs(read_scores(result) - stored).max() < 2e-5
    assert [row["class"] for row in rows] == [tiny.CLASSES[label] for label in stored.argmax(1)]


def test_files_are_predicted_once_in_the_order_in_which_they_are_named(place: Path, stored: np.ndarray) -> None:
    files = [place / "faces" / f"{number:03}.png" for number in (3, 1, 3)]
    result = predict(place / "model.pt", *files)
    assert [row["file"] for row in read_rows(result)] == [str(files[0]), str(files[1])]
    assert np.abs(read_scores(result) - stored[[3, 1]]).max() < 2e-5


def test_sixteen_bits_are_read_as_eight(place: Path, stored: np.ndarray, tmp_path: Path) -> None:
    picture = np.asarray(Image.open(place / "faces" / "002.png")).astype(np.uint16)
    assert cv2.imwrite(str(tmp_path / "deep.png"), picture * 257)
    result = predict(place / "model.onnx", tmp_path / "deep.png")
    assert result.exit_code == 0 and np.abs(read_scores(result) - stored[2]).max() < 2e-5


def test_a_photograph_with_a_second_view_is_one_picture(place: Path, tmp_path: Path) -> None:
    picture = Image.open(place / "faces" / "002.png").convert("RGB").resize((64, 64))
    picture.save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[picture])
    assert predict(place / "model.pt", tmp_path / "phone.jpg").exit_code == 0


def write_animation(file: Path) -> None:
    frames = [Image.fromarray(np.full((40, 40), 40 * number, np.uint8)) for number in range(3)]
    frames[0].save(file, save_all=True, append_images=frames[1:])


def write_floats(file: Path) -> None:
    Image.fromarray(np.zeros((40, 40), np.float32)).save(file)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("moving.gif", write_animation, "is animated (3 frames); save the frame that is meant as a picture of its own"),
        ("moving.webp", write_animation, "is animated (3 frames)"),
        ("empty.png", Path.touch, "is empty"),
        ("text.png", lambda file: file.write_text("no picture"), "cannot be read as an image"),
        ("cut.png", lambda file: file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20)), "cannot be read as an image"),
        ("floats.tif", write_floats, "its pixels have 32 bits"),
    ],
)
def test_a_picture_that_cannot_be_used_is_one_line(place: Path, tmp_path: Path, name: str, write: object, message: str) -> None:
    write(tmp_path / name)  # type: ignore[operator]
    result = predict(place / "model.pt", tmp_path / name)
    assert result.exit_code == 2 and not result.stdout and result.stderr.count("\n") == 1, result.output
    assert result.stderr.startswith(f"{tmp_path / name}: ") and message in result.stderr


def test_the_other_pictures_are_predicted(place: Path, tmp_path: Path, stored: np.ndarray) -> None:
    shutil.copytree(place / "faces", tmp_path / "faces")
    write_animation(tmp_path / "faces" / "000a.gif")
    (tmp_path / "faces" / "notes.txt").write_text("no picture")
    result = predict(place / "model.pt", tmp_path / "faces")
    assert result.exit_code == 1 and result.stderr.count("\n") == 1 and "000a.gif: is animated" in result.stderr
    assert np.abs(read_scores(result) - stored).max() < 2e-5


def test_places_without_pictures_are_one_line(place: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    for name, message in (("none", "holds no picture"), ("nowhere", "no such file or folder")):
        result = predict(place / "model.pt", place / "faces", tmp_path / name)
        assert result.exit_code == 2 and not result.stdout and result.stderr.count("\n") == 1
        assert result.stderr.startswith(f"{tmp_path / name}: {message}"), result.stderr


def write_foreign_onnx(file: Path) -> None:
    info = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [info], [out])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10), file)


def write_foreign_zip(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("hello.txt", "hello")


def cut(suffix: str) -> object:
    return lambda file: file.write_bytes((file.parent.parent / f"model{suffix}").read_bytes()[:-3000])


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("text.onnx", lambda file: file.write_text("no model")),
        ("empty.onnx", Path.touch),
        ("foreign.onnx", write_foreign_onnx),
        ("foreign.zip", write_foreign_zip),
        ("weights.pt", lambda file: torch.save({"a": torch.zeros(3)}, file)),
        ("pickle.pt", lambda file: torch.save({"ferray": Path("/tmp")}, file)),
        ("program.pt2", lambda file: torch.export.save(torch.export.export(torch.nn.Identity(), (torch.zeros(1),)), file)),
        ("cut.onnx", cut(".onnx")),
        ("cut.pt", cut(".pt")),
        ("cut.pt2", cut(".pt2")),
    ],
)
def test_a_file_that_is_no_model_is_one_line(place: Path, name: str, write: object) -> None:
    (place / "other").mkdir(exist_ok=True)
    file = place / "other" / name
    write(file)  # type: ignore[operator]
    result = predict(file, place / "faces")
    assert result.exit_code == 2 and not result.stdout and result.stderr.count("\n") == 1, result.output
    assert result.stderr.startswith(f"{file}: is no model of python -m platform.export (onnx, pt2, state_dict): "), result.stderr


def test_a_missing_model_and_a_folder_are_one_line(place: Path) -> None:
    for file, message in ((place / "none.onnx", "no such file"), (place / "faces", "is a directory")):
        result = predict(file, place / "faces")
        assert result.exit_code == 2 and result.stderr == f"{file}: {message}\n"


def test_a_damaged_model_is_one_line(place: Path) -> None:
    content = bytearray((place / "model.pt").read_bytes())
    content[len(content) // 2] ^= 255
    (place / "damaged.pt").write_bytes(content)
    result = predict(place / "damaged.pt", place / "faces")
    assert result.exit_code == 2 and "is damaged at" in result.stderr and result.stderr.count("\n") == 1


def test_names_that_a_spreadsheet_would_compute_are_protected(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(place / "faces" / "001.png", tmp_path / "=1+1.png")
    monkeypatch.chdir(tmp_path)
    assert read_rows(predict(place / "model.pt", "=1+1.png"))[0]["file"] == "'=1+1.png"
