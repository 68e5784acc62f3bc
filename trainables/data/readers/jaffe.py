"""JAFFE (Lyons et al. 1998): 213 photographs of ten Japanese women posing six expressions and a neutral face, rated by sixty people."""

import re
from collections.abc import Iterator
from pathlib import Path

from trainables.data.build_data_set import FoundPicture, build_data_set, describe_lacking, describe_unnamed, require_population
from trainables.data.dataset import DataError, FaceDataset, Release, register_reader
from trainables.data.files import list_files, parse_number, read_lines, require_folder

EMOTIONS = {"AN": "anger", "DI": "disgust", "FE": "fear", "HA": "happiness", "NE": "neutral", "SA": "sadness", "SU": "surprise"}
RATED = {"HAP": "happiness", "SAD": "sadness", "SUR": "surprise", "ANG": "anger", "DIS": "disgust", "FEA": "fear"}
"""Columns of the ratings."""
RELEASE = Release(images=213, subjects=10, classes=dict(zip(EMOTIONS.values(), (30, 29, 32, 31, 30, 31, 30), strict=True)))
WOMEN = ("KA", "KL", "KM", "KR", "MK", "NA", "NM", "TM", "UY", "YM")
EXAMPLE = "KA.AN1.39.tiff"

_NAME = re.compile(rf"({'|'.join(WOMEN)})[._-]({'|'.join(EMOTIONS)})(\d)[._-](\d+)", re.IGNORECASE)
_PICTURE = re.compile(rf"({'|'.join(WOMEN)})-({'|'.join(EMOTIONS)})(\d)", re.IGNORECASE)


@register_reader(
    "jaffe",
    f"JAFFE: a folder of files like {EXAMPLE}, and the text of the ratings where it is there",
    source="zenodo.org/records/14974867, by request",
    licence="non-commercial research; no redistribution",
    release=RELEASE,
)
def read_jaffe(path: str, *, size: int, colour: str, population: str | None = None) -> FaceDataset:
    """Read every photograph in the folder, at any depth, by its name. The pictures are already cropped to the face.

    Metadata: `source`, `subject`, `sex`, `ethnicity`, `exemplar` (the digit in the name: which of the woman's pictures of that
    expression) and, if a text file has them, the mean ratings `rating_happiness` ... (1 to 5; neutral was not rated). The ratings have
    two blocks. The first is read, because the second was made without fear. Raises DataError with the file and the line.
    """
    require_population(path, population, "adults", "adults")
    root = require_folder(path, f"files like {EXAMPLE}")
    pictures, unnamed = [], []
    seen: dict[str, str] = {}
    ratings = _read_ratings(root)
    for file in list_files(root):
        if not (name := _NAME.fullmatch(Path(file).stem)):
            unnamed.append(file)
            continue
        woman, token, exemplar, _ = name.groups()
        picture = f"{woman}-{token}{exemplar}".upper()
        if picture in seen:
            raise DataError(f"{root}: {seen[picture]} and {file} are one picture by their names; remove the copy")
        seen[picture] = file
        metadata = {"subject": woman.upper(), "sex": "F", "ethnicity": "japanese", "exemplar": int(exemplar)}
        pictures.append(FoundPicture(file, EMOTIONS[token.upper()], metadata | ratings.get(picture, {})))
    if not pictures:
        raise DataError(f"{root}: no image is named like {EXAMPLE}; found {unnamed[0] if unnamed else 'none'}")
    notes = [*describe_lacking(pictures, RELEASE), *describe_unnamed(unnamed, EXAMPLE)]
    if ratings and (unrated := [picture for picture in seen if picture not in ratings]):
        notes.append(f"{len(unrated):,} photographs are not rated, such as {unrated[0]}")
    return build_data_set(root, pictures, title="JAFFE", size=size, colour=colour, classes=EMOTIONS.values(), notes=notes)


def _read_ratings(root: Path) -> dict[str, dict[str, float]]:
    """Return the mean ratings of each picture from the text file that has them; empty if there is none."""
    for file in list_files(root, {".txt", ""}):
        for _, line in _read_text_lines(root / file):
            if re.sub(r"\W+", " ", line).split()[:6] == list(RATED):
                return dict(_find_block(root / file))
    return {}


def _read_text_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file; nothing for any other file."""
    try:
        yield from read_lines(file)
    except DataError:
        return


def _find_block(file: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the first block of ratings: lines like `1 2.87 2.52 2.16 1.97 2.03 2.06 KM-NE1` after a header line.

    The block ends where the text of the second block begins.
    """
    in_block = False
    for line, text in read_lines(file):
        fields = text.split()
        if not in_block:
            in_block = re.sub(r"\W+", " ", text).split()[:6] == list(RATED)
        elif len(fields) == 2 + len(RATED) and fields[0].isdecimal() and _PICTURE.fullmatch(fields[-1]):
            values = [parse_number(value, f"{file}, line {line}", "rating", 1, 5) for value in fields[1:-1]]
            yield fields[-1].upper(), {f"rating_{name}": value for name, value in zip(RATED.values(), values, strict=True)}
        elif not set(text) <= set("-=_ \t"):
            if fields[0].isdecimal():
                raise DataError(f"{file}, line {line}: {text[:60]!r} is not a line of a number, {len(RATED)} ratings and a picture")
            return
