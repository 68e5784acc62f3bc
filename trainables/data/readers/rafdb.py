"""RAF-DB, basic expressions (Li, Deng & Du 2017): 15,339 faces from the web, each labelled by about 40 people. Subjects are unknown."""

import re
from collections import Counter
from pathlib import Path

from trainables.data.build_data_set import (
    FoundPicture,
    build_data_set,
    describe_contradictions,
    describe_lacking,
    describe_unnamed,
    select_by_age,
)
from trainables.data.dataset import DataError, FaceDataset, Release, register_reader
from trainables.data.files import find_folder, find_root, list_files, read_lines
from trainables.data.readers.folders import PARTS

CODES = {1: "surprise", 2: "fear", 3: "disgust", 4: "happiness", 5: "sadness", 6: "anger", 7: "neutral"}
LIST = "EmoLabel/list_patition_label.txt"
RELEASE = Release(
    images=15_339,
    splits={"train": 12_271, "test": 3_068},
    classes=dict(zip(CODES.values(), (1_619, 355, 877, 5_957, 2_460, 867, 3_204), strict=True)),
)
SEX = {"0": "M", "1": "F", "2": None}
ETHNICITY = {"0": "caucasian", "1": "african-american", "2": "asian"}
GROUPS = ("0-3", "4-19", "20-39", "40-69", "70+")
"""Years, by the code of the annotation."""
YOUNG = GROUPS[:2]
EXAMPLE = "train_00001_aligned.jpg"

_NAME = re.compile(r"(train_\d{5}|test_\d{4})(_aligned)?", re.IGNORECASE)
_COMPOUND = re.compile(r"(train_\d{4}|test_\d{3})(_aligned)?", re.IGNORECASE)


@register_reader(
    "rafdb",
    "RAF-DB's folder basic (EmoLabel, Image/aligned, Annotation), or folders train/1..7, test/1..7; ages=FILE of file,age",
    ("ages",),
    source="whdeng.cn/RAF, by a form",
    licence="non-commercial research; no redistribution",
    release=RELEASE,
)
def read_rafdb(path: str, *, size: int, colour: str, population: str | None = None, ages: Path | None = None) -> FaceDataset:
    """Read the aligned faces (100 x 100) with the official split.

    With `ages`, a csv `file,age` (years), "children" are 12 or younger and "adults" 25 or older. Without it, the manual annotation
    decides: "children" are the groups 0-3 and 4-19, "adults" 20 and over, so that teenagers count as children. Without either, "adults"
    means every image, which is noted.

    Metadata: `source`, `split`; `sex`, `ethnicity` and `age_group` if Annotation/manual is present; `age` if `ages` is given. The
    compound set is refused: its file names are similar, but its eleven codes mean other classes. Raises DataError with file and line.
    """
    root = find_root(path, f"RAF-DB's folder basic ({LIST}, Image/aligned), or train/1, ... test/7", LIST, "train/1")
    pictures, notes = _read_official(root) if (root / LIST).is_file() else _read_folders(root)
    notes += describe_lacking(pictures, RELEASE)
    pictures, title, population_notes = _select_population(path, pictures, population, ages)
    classes = CODES.values()
    return build_data_set(root, pictures, title=title, size=size, colour=colour, classes=classes, notes=[*notes, *population_notes])


def _read_official(root: Path) -> tuple[list[FoundPicture], list[str]]:
    folder = find_folder(root, "Image/aligned")
    if not folder:
        raise DataError(f"{root}: has {LIST}, but no folder Image/aligned; unpack aligned.zip there")
    files = {Path(file).stem.lower().removesuffix("_aligned"): file for file in list_files(root, below=folder)}
    annotations = find_folder(root, "Annotation/manual")
    pictures: dict[str, FoundPicture] = {}
    for number, line in read_lines(root / LIST):
        where = f"{root / LIST}, line {number}"
        name, _, code = line.partition(" ")
        stem = Path(name).stem.lower()
        if not code.strip().isdecimal() or int(code) not in range(1, 12):
            raise DataError(f"{where}: {line[:60]!r} is not a name and code from 1 to 7")
        if int(code) > 7 or _COMPOUND.fullmatch(stem):
            raise DataError(f"{where}: {line[:60]!r} is of the compound set, whose codes mean other classes; name the folder basic")
        if not (match := _NAME.fullmatch(stem)):
            raise DataError(f"{where}: {name[:60]!r} is not named like train_00001.jpg")
        if stem in pictures:
            raise DataError(f"{where}: {name} is listed a second time")
        metadata = {"split": match[1].split("_")[0]} | (
            _read_attributes(root / annotations / f"{stem}_manu_attri.txt") if annotations else {}
        )
        pictures[stem] = FoundPicture(files.pop(stem, f"{folder}/{stem}_aligned.jpg"), CODES[int(code)], metadata)
    return list(pictures.values()), [f"{len(files):,} images have no line in {LIST} and are left out"] if files else []


def _read_folders(root: Path) -> tuple[list[FoundPicture], list[str]]:
    """Read the form in circulation: train/1 ... test/7, in some copies valid/1 ..., in which the folder's name is the code."""
    pictures, unnamed, contradictions = [], [], []
    for file in list_files(root):
        parts = file.split("/")
        match = _NAME.fullmatch(Path(file).stem)
        split = PARTS.get(parts[0].lower())
        if len(parts) != 3 or not split or not match:
            unnamed.append(file)
            continue
        if not parts[1].isdecimal() or int(parts[1]) not in CODES:
            raise DataError(f"{root / file}: the folder {parts[1]!r} is not a code from 1 to 7")
        if match[1].split("_")[0].lower() != ("test" if split == "test" else "train"):  # validation images are named train_...
            contradictions.append((file, "its name says the other part"))
        pictures.append(FoundPicture(file, CODES[int(parts[1])], {"split": split}))
    counts = Counter(Path(picture.file).name.lower() for picture in pictures)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise DataError(f"{root}: {repeated[0]} lies in two folders; only one can be its label")
    return pictures, [*describe_contradictions(root, contradictions, len(pictures)), *describe_unnamed(unnamed, f"train/5/{EXAMPLE}")]


def _read_attributes(file: Path) -> dict[str, str | None]:
    """Return sex, ethnicity and age group from an annotation (five lines of landmarks, three codes); None each if there is no file."""
    if not file.exists():
        return {"sex": None, "ethnicity": None, "age_group": None}
    codes = [line for _, line in read_lines(file)][-3:]
    if len(codes) < 3 or codes[0] not in SEX or codes[1] not in ETHNICITY or codes[2] not in map(str, range(len(GROUPS))):
        raise DataError(f"{file}: its last three lines are {', '.join(codes)[:40]!r}, which are not codes of sex, ethnicity and age")
    return {"sex": SEX[codes[0]], "ethnicity": ETHNICITY[codes[1]], "age_group": GROUPS[int(codes[2])]}


def _select_population(
    path: str, found: list[FoundPicture], population: str | None, ages: Path | None
) -> tuple[list[FoundPicture], str, list[str]]:
    """Return the images of a population, the data set's title, and notes."""
    if ages:
        return select_by_age(ages, found, population, "RAF-DB")
    if population is None:
        return found, "RAF-DB", []
    grouped = [picture for picture in found if picture.metadata.get("age_group")]
    if not grouped and population == "children":
        raise DataError(f"{path}: does not say who is a child: it has no Annotation/manual; add it, or give ages=FILE")
    if not grouped:
        return found, "RAF-DB, used whole as adults", ["adults: used whole, children among them, for want of ages"]
    chosen = [picture for picture in grouped if (picture.metadata["age_group"] in YOUNG) == (population == "children")]
    years = "19 or under" if population == "children" else "20 or over"
    return (
        chosen,
        f"RAF-DB, {population} of {years}",
        [f"{population}: {len(chosen):,} of {len(found):,} images, by the annotated age group"],
    )
