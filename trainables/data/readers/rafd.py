"""RaFD (Langner et al. 2010): 67 models (ten children), eight posed expressions, three gazes, five angles, all given by the file name."""

import re
from pathlib import Path

from trainables.data.build_data_set import FoundPicture, build_data_set, describe_lacking, describe_unnamed
from trainables.data.dataset import DataError, FaceDataset, Release, register_reader
from trainables.data.files import list_files, require_folder

EMOTIONS = {
    "angry": "anger",
    "contemptuous": "contempt",
    "disgusted": "disgust",
    "fearful": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "sad": "sadness",
    "surprised": "surprise",
}
ANGLES = ("000", "045", "090", "135", "180")
FRONTAL = "090"
RELEASE = Release(images=8_040, subjects=67, classes=dict.fromkeys(EMOTIONS.values(), 1_005))
EXAMPLE = "Rafd090_41_Kid_female_neutral_frontal.jpg"

_NAME = re.compile(
    rf"Rafd({'|'.join(ANGLES)})_(\d+)_(Caucasian|Moroccan|Kid)_(male|female)_({'|'.join(EMOTIONS)})_(frontal|left|right)", re.IGNORECASE
)


@register_reader(
    "rafd",
    f"RaFD: files like {EXAMPLE}; angle=090 for frontal ones alone",
    ("angle", "crop", "landmarks"),
    source="rafd.nl, by request",
    licence="non-commercial research; publication of a few named models",
    release=RELEASE,
)
def read_rafd(
    path: str, *, size: int, colour: str, population: str | None = None, angle: str = "", crop: str = "", landmarks: Path | None = None
) -> FaceDataset:
    """Read the photographs of all angles or of one. The group Kid is "children".

    The photographs are 681 x 1024 and show head and shoulders, so use `crop`. Metadata: `source`, `subject` (the model's number),
    `sex`, `ethnicity` (Kid: caucasian), `group`, `angle` (degrees, 90 is frontal) and `gaze`. Raises DataError with the file.
    """
    if angle not in ("", *ANGLES):
        raise DataError(f"{path}: angle={angle!r} is none of {', '.join(ANGLES)} ({FRONTAL} is frontal)")
    root = require_folder(path, f"files like {EXAMPLE}")
    pictures, unnamed = [], []
    models: dict[str, tuple[str, str]] = {}
    for file in list_files(root):
        if not (name := _NAME.fullmatch(Path(file).stem)):
            unnamed.append(file)
            continue
        degrees, model, group, sex, token, gaze = (part.lower() for part in name.groups())
        if models.setdefault(model, (group, sex)) != (group, sex):
            raise DataError(f"{root / file}: model {model} is {' '.join(models[model])} in another file; one of them is misnamed")
        metadata = {"subject": model, "sex": sex[0].upper(), "ethnicity": "caucasian" if group == "kid" else group}
        pictures.append(FoundPicture(file, EMOTIONS[token], metadata | {"group": group, "angle": int(degrees), "gaze": gaze}))
    if not pictures:
        raise DataError(f"{root}: no image is named like {EXAMPLE}; found {unnamed[0] if unnamed else 'none'}")
    notes = [*describe_lacking(pictures, RELEASE), *describe_unnamed(unnamed, EXAMPLE)]
    if population:
        pictures = [picture for picture in pictures if (picture.metadata["group"] == "kid") == (population == "children")]
    if angle:
        pictures = [picture for picture in pictures if picture.metadata["angle"] == int(angle)]
        notes.append(f"{len(pictures):,} images of angle {angle}")
    title = ", ".join(filter(None, ("RaFD", population, f"angle {angle}" if angle else "")))
    classes = EMOTIONS.values()
    return build_data_set(
        root, pictures, title=title, size=size, colour=colour, classes=classes, notes=notes, crop=crop, landmarks=landmarks
    )
