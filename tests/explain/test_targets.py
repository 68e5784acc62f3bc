"""The explain command on the study ciao: classes, votes, valence and arousal, and several labels of clips, beside each other and alone."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner, Result

from platform.cli.application import make_application
from platform.explain.__main__ import main
from search_spaces.ciao import POCKET
from search_spaces.study import STUDIES
from tests import tiny
from tests.test_ciao import method, task
from trainables.cell import Cell, Data
from trainables.data.augment import normalise_images
from trainables.loop import train_cell
from trainables.storage.store import RunFolder

SHOWN = ("AffectNet dimensional", "FER+", "EmoReact")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Train two networks on three kinds of data for an epoch each, without the pre-training."""
    pocket = STUDIES.find("ciao")("pocket").with_seeds(1)
    arms = {name: replace(arm, parent=None) for name, arm in pocket.arms.items()}
    axes = pocket.axes | {"network": ("DL", "DL+CIAO"), "encoder": ("VGG",), "data": SHOWN}
    study = replace(pocket, axes=axes, arms=arms, settings=POCKET | {"epochs": 1, "images": 64, "precision": "fp32"})
    data = {}
    for role, source in study.roles.items():
        faces = source.read_faces(POCKET["size"], POCKET["colour"])
        data[role] = Data(source, faces.fingerprint, faces.title)
    cells = study.make_cells(data)
    folder = RunFolder(str(tmp_path_factory.mktemp("targets") / "run"))
    folder.put_grid(study.name, study.scale, cells)
    for cell in cells:
        train_cell(cell, folder)
    return folder


def explain(folder: RunFolder, *options: str) -> Result:
    result = CliRunner().invoke(make_application(main), [folder.root, *options])
    assert result.exit_code == 0, result.output
    return result


def place(result: Result) -> Path:
    return Path(result.stdout.splitlines()[-1].rpartition(": ")[2])


LAYERS = "last convolution (3 x 3) of DL and masked last convolution (3 x 3) of DL+CIAO"
"""as the paper's figure: of the last convolution, after the mask where there is one"""


def read_texts(sheet: Path) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(sheet.read_bytes()).iter("{http://www.w3.org/2000/svg}text")]


def find_cell(run: RunFolder, data: str, network: str) -> Cell:
    return next(cell for cell in run.get_shown_cells() if (cell.axes["data"], cell.axes["network"]) == (data, network))


def list_predictions(sheet: Path) -> Iterator[float]:
    return (float(text) for text in read_texts(sheet) if re.fullmatch(r"[+-]\d\.\d\d", text))


def test_all_data_sets_stand_beside_each_other_and_stay(run: RunFolder) -> None:
    folder = place(explain(run, "--count", "2"))
    said = json.loads((folder / "explain.json").read_bytes())
    assert said["how"] == "gradcam++" and said["layer"] == LAYERS and said["condition"] == {"encoder": "VGG"}
    assert said["sheets"] == ["sheet-01", "sheet-02"]
    texts = read_texts(folder / "sheet-01.svg")
    assert {"image", "DL", "DL+CIAO", "AffectNet", "dimensional", "FER+", "EmoReact"} <= set(texts) and texts.index("DL") < texts.index(
        "DL+CIAO"
    )
    assert sum("valence:" in text for text in texts) == 1 and sum("arousal:" in text for text in texts) == 1
    assert (folder / "sheet-01.svg").read_bytes().count(b"<image") == 4 * 3  # two columns of AffectNet; an image and two networks each
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    other = place(explain(run, "--count", "1", "--only", "data=FER+"))
    assert other != folder and {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    page = Path(run.get_path("report", "index.html")).read_text()
    assert len(re.findall(r"<h2[^>]*>Saliency maps: gradcam\+\+", page)) == 2


def test_valence_and_arousal_have_maps_predictions_and_shares(run: RunFolder) -> None:
    folder = place(explain(run, "--count", "1", "--only", "data=AffectNet dimensional"))
    said = json.loads((folder / "explain.json").read_bytes())
    assert said["sheets"] == ["averages", "sheet-01-valence", "sheet-01-arousal"]
    assert {"valence", "arousal"} == {row["answer"] for row in said["shares"]}
    maps = [(folder / f"sheet-01-{name}.svg").read_text().split("<image")[2] for name in ("valence", "arousal")]
    assert maps[0] != maps[1]
    stored = {network: run.get_predictions(find_cell(run, SHOWN[0], network).key)["predicted"] for network in ("DL", "DL+CIAO")}
    values = run.get_predictions(find_cell(run, SHOWN[0], "DL").key)["values"]
    for column, name in enumerate(("valence", "arousal")):
        sheet = folder / f"sheet-01-{name}.svg"
        true = float(read_texts(sheet)[0].removeprefix(f"{name}: "))
        rows = np.flatnonzero(np.abs(values[:, column] - true) < 0.0051)
        shown = dict(zip(stored, list_predictions(sheet), strict=True))
        assert any(all(abs(stored[arm][row, column] - shown[arm]) < 0.011 for arm in stored) for row in rows)


def test_the_frames_of_a_clip_have_maps(run: RunFolder) -> None:
    folder = place(explain(run, "--count", "1", "--only", "data=EmoReact"))
    (name,) = [path for path in folder.iterdir() if re.fullmatch(r"sheet-01-\w+\.svg", path.name)]
    assert name.read_bytes().count(b"<image") == 3 * 8 and {f"frame {number}" for number in range(1, 9)} <= set(read_texts(name))
    said = json.loads((folder / "explain.json").read_bytes())
    assert {row["answer"] for row in said["shares"]} <= {"right", "wrong"} and said["shares"]
    for how in ("gradcam", "saliency"):
        explain(run, "--count", "1", "--only", "data=EmoReact", "--how", how, "--class", "predicted")


@pytest.mark.parametrize("data", SHOWN)
def test_ones_own_pictures_for_every_target(run: RunFolder, data: str, tmp_path: Path) -> None:
    """A network of clips takes a picture as a clip of one frame."""
    Image.fromarray(tiny.pictures(np.array([1]), seed=3, size=60)[0]).save(tmp_path / "face.png")
    folder = place(explain(run, "--images", str(tmp_path), "--only", f"data={data}"))
    table = pd.read_csv(folder / "predictions.csv")
    assert len(table) == 2 * 2 and ("valence" in table) == (data == SHOWN[0])
    assert len(list(folder.glob("*.png"))) == 1 + (data == SHOWN[0])


@pytest.mark.parametrize("frames", [None, 3])
@pytest.mark.parametrize("mask", [False, True])
def test_the_network_of_maps_is_the_network_that_predicts(frames: int | None, mask: bool) -> None:
    given = task(target="labels" if frames else "affect", frames=frames)
    ciao = method(given, mask=mask)
    ciao.modules.eval()
    with torch.no_grad():
        outputs = ciao.build_network()(normalise_images(given.test.pixels))
    torch.testing.assert_close(outputs, ciao.compute_logits(given.test.pixels), atol=1e-5, rtol=1e-4)
