"""AffectNet (Mollahosseini, Hasani & Mahoor 2017): faces from the web with expression, valence and arousal. Subjects are unknown."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.build_data_set import FoundPicture, build_data_set, describe_lacking
from trainables.data.dataset import DataError, FaceDataset, Release, register_reader
from trainables.data.files import find_folder, find_root, list_files, parse_number, read_columns, resolve_within

CODES = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt", "none", "uncertain", "no face")
LABELS = CODES[:8]
UNRATED = -2.0
"""Valence and arousal of an image that shows no face or an uncertain expression."""
COLUMNS = ("subDirectory_filePath", "face_x", "face_y", "face_width", "face_height", "facial_landmarks", "expression", "valence", "arousal")
LISTS = ("training.csv", "validation.csv")
SETS = {"train_set": "train", "val_set": "val"}
RELEASE = Release(
    splits={"train": 287_651, "val": 4_000},
    classes=dict(zip(LABELS, (75_374, 134_915, 25_959, 14_590, 6_878, 4_303, 25_382, 4_250), strict=True)),
)


@register_reader(
    "affectnet",
    "AffectNet: Manually_Annotated_file_lists/*.csv with Manually_Annotated, or train_set and val_set of images and annotations (npy)",
    source="mohammadmahoor.com/databases, by a signed request",
    licence="non-commercial research; no passing on",
    release=RELEASE,
)
def read_affectnet(path: str, *, size: int, colour: str, population: str | None = None) -> FaceDataset:
    """Read the manually annotated part, in the older or the newer layout, with its official split. The test set was never released.

    Images labelled none, uncertain or no face (codes 8 to 10) are left out. In the older layout, the face is cut out by the box in the
    csv. Metadata: `source`, `split`, and `valence` and `arousal` from -1 to 1, NaN where not rated (-2).

    AffectNet does not say who is a child, so "adults" means every image. A copy in folders by class is refused, because such copies
    number the classes in two different ways. Use the kind `folders` for it, where the classes are named. Raises DataError with file and
    line.
    """
    if population == "children":
        raise DataError(f"{path}: AffectNet does not say who is a child")
    root = find_root(path, f"AffectNet's {LISTS[0]} or train_set/", "Manually_Annotated_file_lists", *LISTS, "train_set", "val_set")
    read_form = _read_csv_form if not find_folder(root, *SETS) else _read_numpy_form
    pictures, counts = [], Counter[str]()
    for picture in read_form(root):
        counts[str(picture.emotion)] += 1
        if picture.emotion in LABELS:
            pictures.append(picture)
    notes = [f"left out: {counts[name]:,} images that are {name}" for name in CODES[8:] if counts[name]]
    unrated = sum(picture.metadata["valence"] is None for picture in pictures)
    notes += [f"{unrated:,} images are not rated for valence and arousal"] if unrated else []
    notes += describe_lacking(pictures, RELEASE)
    notes += ["adults: used whole, children among them: AffectNet knows no ages"] if population else []
    return build_data_set(root, pictures, title="AffectNet", size=size, colour=colour, classes=LABELS, notes=notes)


def _read_csv_form(root: Path) -> Iterator[FoundPicture]:
    """Yield the pictures of the older layout: csv files, and images in numbered folders."""
    lists = root / find_folder(root, "Manually_Annotated_file_lists")
    images = find_folder(root, "Manually_Annotated/Manually_Annotated_Images", "Manually_Annotated_Images", "Manually_Annotated")
    if not images:
        raise DataError(f"{root}: has lists but no folder Manually_Annotated with the images; unpack its archive there")
    present = [name for name in LISTS if (lists / name).is_file()]
    for name, split in zip(LISTS, ("train", "val"), strict=True):
        if name not in present:
            continue
        seen, table_file = set(), str(lists / name)
        for line, (file, x, y, width, height, _, code, valence, arousal) in read_columns(lists / name, COLUMNS, header=None):
            where = f"{table_file}, line {line}"
            if (picture := resolve_within(file, where)) in seen:
                raise DataError(f"{where}: {picture} is listed a second time")
            seen.add(picture)
            box = None
            if code not in ("8", "9", "10"):
                numbers = [parse_number(text, where, "box", -1e6, 1e6) for text in (x, y, width, height)]
                box = (numbers[0], numbers[1], numbers[2], numbers[3])
            yield FoundPicture(
                f"{images}/{picture}", _parse_expression(code, where), {"split": split} | _parse_affect(valence, arousal, where), box=box
            )


def _read_numpy_form(root: Path) -> Iterator[FoundPicture]:
    """Yield the pictures of the newer layout: N.jpg with N_exp.npy, N_val.npy and N_aro.npy, which hold strings or numbers."""
    for name, split in SETS.items():
        if not (part := find_folder(root, name)):
            continue
        images, annotations = find_folder(root, f"{part}/images"), find_folder(root, f"{part}/annotations")
        if not images or not annotations:
            raise DataError(f"{root / part}: has no folder {'annotations' if images else 'images'}; unpack the whole release")
        files = list_files(root, below=images)
        for file in sorted(files, key=lambda path: (len(Path(path).stem), path)):  # numeric order: 2 before 10
            stem = root / annotations / Path(file).stem
            code, valence, arousal = (_read_scalar(stem.with_name(f"{stem.name}_{kind}.npy")) for kind in ("exp", "val", "aro"))
            where = f"{stem}_exp.npy"
            yield FoundPicture(file, _parse_expression(code, where), {"split": split} | _parse_affect(valence, arousal, where))


def _read_scalar(file: Path) -> str:
    """Return the one value of an npy file as text. A file that would execute code when loaded (pickle) is refused."""
    try:
        value = np.load(file, allow_pickle=False)
        return str(value.item()).strip()
    except FileNotFoundError:
        raise DataError(f"{file}: is missing; each image has three such files") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{file}: is not one number in numpy's format ({error})") from None


def _parse_expression(code: str, where: str) -> str:
    if not code.isdecimal() or int(code) >= len(CODES):
        raise DataError(f"{where}: expression {code[:40]!r} is not one of the codes 0 to {len(CODES) - 1}")
    return CODES[int(code)]


def _parse_affect(valence: str, arousal: str, where: str) -> dict[str, Any]:
    values = [parse_number(text, where, name, UNRATED, 1) for text, name in ((valence, "valence"), (arousal, "arousal"))]
    for value, name in zip(values, ("valence", "arousal"), strict=True):
        if UNRATED < value < -1:
            raise DataError(f"{where}: {name} {value:g} is neither from -1 to 1 nor {UNRATED:g} (not rated)")
    rated = UNRATED not in values
    return {"valence": values[0] if rated else None, "arousal": values[1] if rated else None}
