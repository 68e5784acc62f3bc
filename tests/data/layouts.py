"""Write the official layouts of data sets from arrays, for tests that read them back."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def fer2013(
    file: Path, images: np.ndarray, codes: Sequence[int], usages: Sequence[str], *, icml: bool = False, quoted: bool = False
) -> Path:
    """Write FER2013's csv from uint8 [n, 48, 48], with the header and column order of fer2013.csv or of icml_face_data.csv."""
    quote = '"' if quoted else ""
    lines = ["emotion, Usage, pixels" if icml else "emotion,pixels,Usage"]
    for image, code, usage in zip(images, codes, usages, strict=True):
        pixels = quote + " ".join(str(value) for value in image.ravel().tolist()) + quote
        lines.append(f"{code}, {usage},{pixels}" if icml else f"{code},{pixels},{usage}")
    file.write_bytes(("\n".join(lines) + "\n").encode())
    return file


def ages(file: Path, years: Sequence[float]) -> Path:
    """Write the ages of a FER2013 csv's rows, in row order."""
    file.write_text("row,age\n" + "".join(f"{row},{age}\n" for row, age in enumerate(years)))
    return file


def cafe(folder: Path, photographs: Mapping[str, np.ndarray]) -> Path:
    """Write Databrary's folder of CAFE into `folder`: uint8 [h, w, 3] or [h, w] by `SESSION/ASSET-EMOTION_SEX-ETHNICITY-NUMBER.jpg`."""
    root = folder / "databrary30-LoBue-Thrasher-The_Child_Affective_Facial"
    for name, picture in photographs.items():
        file = root / "sessions" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(file, quality=100, subsampling=0)
    return root
