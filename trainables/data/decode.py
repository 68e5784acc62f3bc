"""Decode: from picture files and clips to bytes of one size; as a process of its own, part of the files of a parallel decoding.

Light on purpose: a process that decodes imports numpy, OpenCV and Pillow, and nothing that takes a second to start.
"""

import json
import os
import pickle
import sys
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from trainables.registry import BadRequest

BLOCK = 64
"""files a process takes at a time"""
TURNED = 0x0112
"""the EXIF entry that says how a photograph is to be turned"""
DETECT = 640
"""pixels of the longer side in which faces are looked for"""
CROPS = ("", "haar")
"""ways to cut a face out: none (the picture is cropped already), Viola and Jones's cascade as OpenCV 4 ships it"""
MARGIN = 0.1
"""of a found face's side, added on each side: the cascade's box ends at chin and brows"""

Box = tuple[float, float, float, float]
"""left, top, width, height in pixels of the upright picture"""


class DataError(BadRequest):
    """A data set is not what it should be; the message names the file, the row where there is one, and what to do."""


class Item(NamedTuple):
    """One picture: a file, or frame `frame` of `of` evenly spaced ones of a clip; the part in `box` of it, where given."""

    file: str
    frame: int = 0
    of: int = 0
    box: Box | None = None


class DecodeOptions(NamedTuple):
    """What is made of a picture."""

    size: int
    """pixels a side; 0: the face's box is looked for instead, float32 [4], all -1 where there is no face"""
    colour: str = "grey"
    """ "grey" or "rgb" """
    crop: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        return (1 if self.colour == "grey" else 3, self.size, self.size) if self.size else (4,)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8 if self.size else np.float32)


def crop_square(image: np.ndarray, size: int, colour: str) -> np.ndarray:
    """A picture (uint8 [h, w] or [h, w, 3] RGB) cut to 1:1 about its centre and resized: uint8 [channels, size, size]."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    image = image[top : top + side, left : left + side]
    if colour == "grey" and image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if colour == "rgb" and image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if side != size:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
    return image[None] if image.ndim == 2 else np.ascontiguousarray(image.transpose(2, 0, 1))


def decode_picture(file: Path, size: int, box: Box | None = None) -> np.ndarray:
    """A file's picture, upright, or the square about `box` in it: uint8 [h, w, 3] RGB, or [h, w] where the file is grey.

    It is decoded no larger than `size` needs it to be. DataError for what cannot be decoded, and for a box outside the picture.
    """
    try:
        with Image.open(file) as picture:
            whole = max(picture.size)
            enlarged = max(1.0, whole / max(box[2], box[3], 1)) if box else 1.0  # a small face needs a larger picture
            picture.draft("RGB", (int(4 * size * enlarged),) * 2)  # 10 megapixels of JPEG decode ten times faster at 1/8; others: no-op
            if picture.mode == "L":
                picture.load()
            upright = ImageOps.exif_transpose(picture) if picture.getexif().get(TURNED, 1) != 1 else picture
            image = np.asarray(upright if upright.mode == "L" else upright.convert("RGB"))
    except MemoryError:
        raise
    except Exception as error:  # what a decoder raises at a damaged file is its own business
        raise DataError(f"{file}: cannot be read as an image ({' '.join(str(error).split()) or type(error).__name__})") from None
    return cut_box(image, box, max(image.shape[:2]) / whole, str(file)) if box else image


def cut_box(image: np.ndarray, box: Box, scale: float, where: str) -> np.ndarray:
    """The square about a box (in pixels of the picture before it was scaled), moved inside the picture, shrunk to it where too large."""
    left, top, width, height = (scale * edge for edge in box)
    bottom, right = image.shape[:2]
    if not (width > 0 and height > 0 and left < right and top < bottom and left + width > 0 and top + height > 0):
        raise DataError(f"{where}: the box {', '.join(f'{edge:.0f}' for edge in box)} lies outside the picture")
    side = round(min(max(width, height, 1), bottom, right))
    x = round(min(max(left + (width - side) / 2, 0), right - side))
    y = round(min(max(top + (height - side) / 2, 0), bottom - side))
    return image[y : y + side, x : x + side]


@lru_cache
def _load_cascade() -> cv2.CascadeClassifier:
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    file = os.path.join(folder, "haarcascade_frontalface_default.xml")
    if not folder or not os.path.exists(file):
        raise BadRequest(f"OpenCV {cv2.__version__} comes without its face cascades; install opencv-python-headless<5, or leave out crop")
    return cv2.CascadeClassifier(file)


def find_face(image: np.ndarray) -> Box | None:
    """The largest frontal face in a picture (uint8 [h, w, 3] RGB or [h, w]) with a margin, or None."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    scale = min(1.0, DETECT / max(grey.shape))
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    least = max(24, min(grey.shape) // 6)
    found = _load_cascade().detectMultiScale(cv2.equalizeHist(grey), scaleFactor=1.1, minNeighbors=4, minSize=(least, least))
    if not len(found):
        return None
    x, y, width, height = max(found, key=lambda each: (each[2] * each[3], -each[0], -each[1])) / scale
    return x - MARGIN * width, y - MARGIN * height, width * (1 + 2 * MARGIN), height * (1 + 2 * MARGIN)


def decode_frames(file: Path, of: int) -> list[np.ndarray]:
    """`of` evenly spaced frames of a clip, first and last among them: uint8 [h, w, 3] RGB each. DataError for a clip without any."""
    total = int(cv2.VideoCapture(str(file)).get(cv2.CAP_PROP_FRAME_COUNT))
    for _ in range(2):  # what a clip's header says of its length may be wrong: then once more with what was counted
        wanted = np.linspace(0, max(total, 1) - 1, of).round().astype(int)
        clip, seen, kept = cv2.VideoCapture(str(file)), 0, {}
        while seen <= wanted[-1] and clip.grab():
            if seen in wanted:
                good, frame = clip.retrieve()
                if not good:
                    break
                kept[seen] = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            seen += 1
        clip.release()
        if wanted[-1] in kept:
            return [kept[place] for place in wanted]
        total = seen
    raise DataError(f"{file}: no frame of this clip can be decoded")


def decode_items(root: Path, items: list[Item], how: DecodeOptions) -> Iterator[np.ndarray | str]:
    """What is made of each item, in order; a text says why one cannot be made. Frames of a clip follow each other."""
    clip: tuple[str, list[np.ndarray] | str] = ("", "")
    for item in items:
        file = root / item.file
        try:
            if item.of:
                if clip[0] != item.file:
                    try:
                        clip = item.file, decode_frames(file, item.of)
                    except DataError as error:
                        clip = item.file, str(error)
                if isinstance(clip[1], str):
                    raise DataError(clip[1])
                image = clip[1][item.frame]
                image = cut_box(image, item.box, 1, item.file) if item.box else image
            else:
                image = decode_picture(file, how.size or DETECT, item.box)
            if how.size:
                yield crop_square(image, how.size, how.colour)
            else:
                yield np.array(_unscale_box(find_face(image), image, file, item), np.float32)
        except DataError as error:
            yield str(error)


def _unscale_box(box: Box | None, image: np.ndarray, file: Path, item: Item) -> Box:
    """A box found in a picture that was decoded smaller, in pixels of the whole one."""
    if box is None:
        return (-1, -1, -1, -1)
    scale = 1.0
    if not item.of:
        with Image.open(file) as picture:
            scale = max(picture.size) / max(image.shape[:2])
    return (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale)


def split_blocks(items: list[Item]) -> list[tuple[int, int]]:
    """Where to cut the items into blocks of about BLOCK, no clip in two: (first, after the last) of each."""
    cuts = [0]
    for row in range(1, len(items)):
        if row - cuts[-1] >= BLOCK and items[row].file != items[row - 1].file:
            cuts.append(row)
    return list(zip(cuts, [*cuts[1:], len(items)], strict=True))


def fill_rows(root: Path, items: list[Item], how: DecodeOptions, file: Path, queue: int, parent: int = 0) -> Iterator[tuple[int, str]]:
    """Take blocks from a queue that several processes share and fill their rows of the file; gives rows that cannot be made, and why.

    The queue is an open file of block numbers (int32): processes that share it share the place they read from, so each gets others.
    A process that works for `parent` ends when that is no more.
    """
    every = split_blocks(items)
    with warnings.catch_warnings(action="ignore"), open(file, "r+b", buffering=0) as out:  # a damaged file is an error, or fine
        while (not parent or os.getppid() == parent) and (taken := os.read(queue, 4)):
            first, last = every[int.from_bytes(taken, sys.byteorder)]
            block = np.zeros((last - first, *how.shape), how.dtype)  # written at once: a page fault for each page of a mapped file is dear
            for row, made in enumerate(decode_items(root, items[first:last], how)):
                if isinstance(made, str):
                    yield first + row, made
                else:
                    block[row] = made
            out.seek(first * block[:1].nbytes)
            out.write(block.data)


def main() -> None:
    """A process of `trainables.data.cache`: its job comes on standard input, failures go out as lines of JSON."""
    root, items, how, file, queue = pickle.load(sys.stdin.buffer)  # from our own parent
    cv2.setNumThreads(1)
    for failure in fill_rows(root, items, how, file, queue, os.getppid()):
        print(json.dumps(failure), flush=True)


if __name__ == "__main__":
    main()
