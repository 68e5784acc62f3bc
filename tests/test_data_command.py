"""python -m platform.data: output for good and bad copies, exit codes, sheets."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from platform.data.__main__ import app
from tests.data.tree import portrait, save
from tests.data.trees import TREES
from trainables.data.dataset import Release, readers


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words), env={"NO_COLOR": "1", "COLUMNS": "500"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Return a folder of twelve different faces in two parts, with a folder per class."""
    for number, name in enumerate(("anger", "fear", "happiness") * 4):
        save(tmp_path / "set" / ("train" if number < 6 else "test") / name / f"{number}.png", portrait(name, number))
    return tmp_path / "set"


def test_every_kind_is_one_line():
    code, output = run("list")
    lines = output.splitlines()
    assert code == 0 and [line.split()[0] for line in lines] == list(readers())
    assert all(line.split(maxsplit=1)[1] for line in lines)


def test_the_readme_says_of_every_kind_where_to_ask_and_the_licence():
    """This holds for every kind that ferray ships. A kind that a user adds has an example instead."""
    lines = (Path(__file__).parents[1] / "README.md").read_text().splitlines()
    for kind, reader in readers().items():
        row = next((line for line in lines if line.startswith(f"| `{kind}` |")), "")
        assert reader.example or (row.count("|") == 5 and len(row.split("|")[4].strip()) > 5), kind


def test_a_path_without_a_kind_and_a_kind_without_a_path_are_one_line(pool):
    assert run("check", str(pool)) == (2, f"{pool}: expected KIND:PATH, e.g. rafdb:{pool}; python -m platform.data list names the kinds\n")
    code, output = run("check", "rafdb")
    assert code == 2 and output == "rafdb needs a path: rafdb:PATH\n"


def test_a_good_copy_is_fine(pool, tmp_path):
    code, output = run("check", f"folders:{pool}", "--sheets", str(tmp_path / "sheets"))
    assert code == 0 and "No problem found in this copy." in output
    assert "train: 6 images: anger 2, fear 2, happiness 2" in output and "test: 6 images" in output
    assert "sizes: 64x64 12" in output and "no two images are the same to the last bit" in output
    assert {file.name for file in (tmp_path / "sheets").iterdir()} == {"anger.png", "fear.png", "happiness.png"}
    assert Image.open(tmp_path / "sheets/anger.png").size == (4 * 64, 64)


def test_copies_across_parts_and_with_two_labels_matter(pool, tmp_path):
    shutil.copy(pool / "train/anger/0.png", pool / "test/anger/copy.png")
    shutil.copy(pool / "train/fear/1.png", pool / "train/happiness/copy.png")
    code, output = run("check", f"folders:{pool}", "--sheets", str(tmp_path / "sheets"))
    assert code == 1 and "2 groups of images are the same to the last bit (4 images)" in output
    assert "1 of these groups lie across parts of the split, such as train/anger/0.png and test/anger/copy.png" in output
    assert "1 of these groups carry different labels, such as train/fear/1.png and train/happiness/copy.png" in output
    assert "2 of these lines report problems." in output


def test_a_person_in_two_parts_matters(pool, tmp_path):
    code, output = run("check", f"folders:{pool},subject=(anger|fear|happiness)", "--sheets", str(tmp_path / "sheets"))
    assert code == 1 and "3 subjects are in two parts of the split, such as anger" in output


def test_what_the_release_has_and_this_copy_lacks(tmp_path):
    tree = TREES["rafdb"](tmp_path)
    code, output = run("check", f"rafdb:{tree.path}", "--sheets", str(tmp_path / "sheets"))
    assert code == 1
    for line in ("14 images, where the release has 15,339", "7 train images, where the release has 12,271", "2 images of fear, where"):
        assert line in output
    assert "no subjects are known: images of one person may be in training and in test" in output
    assert "age_group: " in output and "licence: non-commercial research" in output


def test_an_unreadable_file_matters(tmp_path):
    tree = TREES["images"](tmp_path)
    for number in range(40):
        save(tree.path / f"c{number}.png", portrait("fear", number))
    (tree.path / "b" / "1.png").write_bytes(b"")
    code, output = run("check", f"images:{tree.path}", "--sheets", str(tmp_path / "sheets"))
    assert code == 1 and "1 of 43 images cannot be read and are left out; the first:" in output


@pytest.mark.parametrize("name", sorted(TREES))
def test_every_kind_can_be_checked(name, tmp_path):
    tree = TREES[name](tmp_path)
    options = "".join(f",{option}={value}" for option, value in tree.options.items())
    code, output = run("check", f"{tree.kind}:{tree.path}{options}", "--sheets", str(tmp_path / "sheets"))
    lacks = readers()[tree.kind].release != Release() or tree.kind in ("imdb_wiki",)
    assert code == (0 if tree.kind in ("folders", "images", "imdb_wiki") else 1) or not lacks, output
    assert "fingerprint" in output and list((tmp_path / "sheets").iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check", "rafdb:/nowhere"), "/nowhere: no such folder"),
        (("check", "rafbd:/nowhere"), "did you mean raf"),
        (("check", "rafdb:/nowhere,crop=haar"), "rafdb has no option 'crop'"),
        (("check", ""), "is not a data source"),
        (("check", "rafdb:/nowhere", "--size", "2"), "--size"),
        (("check",), "KIND:PATH"),
    ],
)
def test_a_bad_request_is_exit_2(words, message):
    result = CliRunner().invoke(app, list(words), env={"NO_COLOR": "1", "COLUMNS": "200"})
    assert result.exit_code == 2 and message in result.output and "Traceback" not in result.output


def test_sheets_are_never_put_into_the_data_set(pool):
    code, output = run("check", f"folders:{pool}", "--sheets", str(pool / "sheets"))
    assert code == 2 and "lies in the data set's own folder" in output and not (pool / "sheets").exists()


def test_images_without_a_face_have_a_sheet_of_their_own(tmp_path):
    for number in range(3):
        save(tmp_path / "set" / f"{number}.png", np.kron(portrait("neutral", number), np.ones((3, 3, 1), np.uint8)))
    save(tmp_path / "set" / "wall.png", np.full((192, 192, 3), 90, np.uint8))
    _, output = run("check", f"images:{tmp_path / 'set'},crop=haar", "--sheets", str(tmp_path / "sheets"))
    assert "images without a face:" in output and (tmp_path / "sheets/rejected.png").exists()
