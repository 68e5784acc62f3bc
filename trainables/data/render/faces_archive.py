"""The pack: rendered faces and their metadata in one file. Reading it needs numpy, pandas and OpenCV, and no part of the renderer.

Layout, little-endian: magic (8 bytes), version (uint16), length of the metadata (uint32), length of the pictures (uint64), SHA-256 of
everything that follows (32 bytes); the metadata, a CSV compressed with xz; the pictures, concatenated WebP files in the order of the
rows. The column `bytes` gives the length of each WebP file.
"""

import hashlib
import lzma
import os
import struct
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from trainables.data.dataset import DataError

MAGIC, VERSION = b"FERFACES", 1
HEADER = struct.Struct("<8sHIQ32s")
SIZE = 64
PACK = Path(__file__).parents[1] / "faces.pack"

REGIONS = ("left_eye", "right_eye", "left_brow", "right_brow", "mouth")
EDGES = ("x0", "y0", "x1", "y1")
"""The metadata hold each region's box as `mouth_x0` ...: pixels of the 64 x 64 picture, x1 and y1 exclusive. Left is the person's left."""
EMOREACT = ("curiosity", "uncertainty", "excitement", "happiness", "surprise", "disgust", "fear", "frustration")


@dataclass(frozen=True)
class Pack:
    metadata: pd.DataFrame
    """One row per picture."""
    pictures: bytes

    def get_coded(self, row: int) -> bytes:
        """Return the WebP file of a row."""
        return self.pictures[self.starts[row] : self.starts[row + 1]]

    @cached_property
    def starts(self) -> np.ndarray:
        return np.concatenate([[0], self.metadata["bytes"].cumsum()])

    def decode_images(self, rows: np.ndarray) -> np.ndarray:
        """Return the decoded pictures of these rows (indices): uint8 [n, SIZE, SIZE, 3], RGB."""
        images = np.empty((len(rows), SIZE, SIZE, 3), np.uint8)
        for k, row in enumerate(rows):
            picture = cv2.imdecode(np.frombuffer(self.get_coded(row), np.uint8), cv2.IMREAD_COLOR)
            if picture is None:
                raise DataError(f"{PACK.name}, row {row}: this OpenCV cannot decode WebP; install opencv-python-headless")
            images[k] = picture[..., ::-1]
        return images


def write_archive(path: Path, metadata: pd.DataFrame, coded: list[bytes]) -> None:
    """Write a pack. `coded` are WebP files, one per row of `metadata`. The write is atomic."""
    table = metadata.assign(bytes=[len(file) for file in coded]).to_csv(index=False).encode()
    packed, pictures = lzma.compress(table, preset=9), b"".join(coded)
    header = HEADER.pack(MAGIC, VERSION, len(packed), len(pictures), hashlib.sha256(packed + pictures).digest())
    partial = path.with_name(path.name + ".part")
    partial.write_bytes(header + packed + pictures)
    os.replace(partial, path)


def read_archive(path: Path = PACK) -> Pack:
    """Read a pack. Raise DataError if the file is missing, of another kind or version, truncated or altered."""
    remedy = "restore it from the repository, or rebuild it: python -m trainables.data.render"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    if len(content) < HEADER.size or not content.startswith(MAGIC):
        raise DataError(f"{path}: not a pack of faces ({len(content)} bytes); {remedy}")
    _, version, metadata_length, pictures_length, digest = HEADER.unpack_from(content)
    if version != VERSION:
        raise DataError(f"{path}: a pack of version {version}, this program reads version {VERSION}; {remedy}")
    if len(content) != HEADER.size + metadata_length + pictures_length:
        raise DataError(
            f"{path}: {len(content)} bytes where its header promises {HEADER.size + metadata_length + pictures_length}; {remedy}"
        )
    if hashlib.sha256(memoryview(content)[HEADER.size :]).digest() != digest:
        raise DataError(f"{path}: altered since it was written (checksum differs); {remedy}")
    table = lzma.decompress(content[HEADER.size : HEADER.size + metadata_length])
    return Pack(pd.read_csv(BytesIO(table)), content[HEADER.size + metadata_length :])
