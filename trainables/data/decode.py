"""Decode picture files and clips to bytes of one size. Run as a process, this module decodes part of the files in parallel to others.

It is light on purpose: a decoding process imports numpy, OpenCV and Pillow, and nothing that takes a second to start.
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

from trainables.registry import BadRequest, join_lines

BLOCK = 64
"""Number of files that a process takes at a time."""
TURNED = 0x0112
"""EXIF tag of a photograph's orientation."""
DETECT = 640
"""Pixels of the longer side of a picture in which faces are detected."""
CROPS = ("", "haar")
"""Ways to cut out a face: none (the picture is already cropped), and the Viola-Jones cascade that OpenCV 4 ships."""
PIXELS = 50_000_000
"""Pixels of a picture or frame that are decoded at most, some 600 MB at a time: a small file may claim any number."""
PROGRAMS = ("EPS", "WMF")
"""Formats that Pillow gives to another program. Their content may bear any name."""
CENTRE = 0.5
MARGIN = 0.1
"""Fraction of a detected face's side that is added on each side, because the cascade's box ends at chin and brows."""

os.environ.setdefault(
    "OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file|format_whitelist;mov,mp4,avi,matroska,webm,mpeg,mpegts,mpegvideo,asf"
)  # a clip may be a list of addresses, which FFmpeg would open; read by OpenCV when it opens a clip

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels of the upright picture."""


class DataError(BadRequest):
    """A data set is invalid. The message names the file, the row if there is one, and the remedy."""


class Item(NamedTuple):
    """One picture: a file, or frame `frame` of `of` evenly spaced frames of a clip. It is cut to `box` if that is given."""

    file: str
    frame: int = 0
    of: int = 0
    box: Box | None = None


class DecodeOptions(NamedTuple):
    """How a picture is decoded."""

    size: int
    """pixels a side; 0: detect the face's box instead, float32 [4], all -1 if there is no face"""
    colour: str = "grey"
    """ "grey" or "rgb" """
    crop: str = ""
    offset: float = CENTRE
    """share of a portrait photograph's spare height that is cut off above the square"""

    @property
    def shape(self) -> tuple[int, ...]:
        return (1 if self.colour == "grey" else 3, self.size, self.size) if self.size else (4,)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8 if self.size else np.float32)


def crop_square(image: np.ndarray, size: int, colour: str, offset: float = CENTRE) -> np.ndarray:
    """Cut a picture (uint8 [h, w] or [h, w, 3] RGB) to a square and resize it to uint8 [channels, size, size].

    The square is central. `offset` moves that of a portrait picture: 0 is the top of the picture, 1 its bottom. The square of a mirrored
    picture is the mirrored square: where no square is in the middle, one side is a pixel longer before the picture is resized.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    if offset == CENTRE:
        image = image[top : height - top, left : width - left]
    else:
        top = round(offset * (height - side))
        image = image[top : top + side, left : width - left]
    if colour == "grey" and image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if colour == "rgb" and image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    if image.shape[:2] != (size, size):
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)
    return image[None] if image.ndim == 2 else np.ascontiguousarray(image.transpose(2, 0, 1))


def check_pixels(width: int, height: int) -> None:
    """Raise ValueError for a picture that is too large to be decoded."""
    if width * height > PIXELS:
        raise ValueError(f"its {width} x {height} pixels are more than {PIXELS // 10**6} million; save it smaller")


def decode_picture(file: Path, size: int, box: Box | None = None) -> np.ndarray:
    """Return a file's upright picture, or the square about `box` in it: uint8 [h, w, 3] RGB, or [h, w] if the file is grey.

    It is decoded no larger than `size` requires. Of an animated picture it is the first frame. Raises DataError for a file that cannot be
    decoded, for pixels of 32 bits, whose range is unknown, and for a box outside the picture.
    """
    try:
        with Image.open(file) as picture:
            full_side = max(picture.size)
            zoom = max(1.0, full_side / max(box[2], box[3], 1)) if box else 1.0  # a small face needs a larger picture
            if picture.format in PROGRAMS:
                raise ValueError(f"it is {picture.format}, which another program would have to draw")
            picture.draft("RGB", (int(4 * size * zoom),) * 2)  # JPEG only: 10 megapixels decode ten times faster at 1/8
            check_pixels(*picture.size)
            if picture.mode == "L":
                picture.load()
            image = _to_bytes(ImageOps.exif_transpose(picture) if picture.getexif().get(TURNED, 1) != 1 else picture)
    except MemoryError:
        raise
    except Exception as error:  # decoders may raise any exception for a damaged file
        raise DataError(f"{file}: cannot be read as an image ({join_lines(error)})") from None
    return cut_box(image, box, max(image.shape[:2]) / full_side, str(file)) if box else image


def _to_bytes(picture: Image.Image) -> np.ndarray:
    """Return pixels as uint8. 65,535, the white of 16 bits, becomes 255."""
    mode = picture.mode
    if mode.startswith("I;16") or (mode == "I" and picture.format in ("PNG", "PPM")):
        return ((np.asarray(picture).astype(np.uint32) + 128) // 257).clip(0, 255).astype(np.uint8)
    if mode in ("I", "F"):
        raise ValueError(f"its pixels have 32 bits (mode {mode}), and their range is unknown; save it with 8 or 16 bits")
    return np.asarray(picture if mode == "L" else picture.convert("L" if mode == "1" else "RGB"))


def cut_box(image: np.ndarray, box: Box, scale: float, where: str) -> np.ndarray:
    """Return the square about a box, which is in pixels of the picture before it was scaled.

    The square is moved inside the picture, and shrunk to it if it is too large. Raises DataError for a box outside the picture.
    """
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
    """Return the box of the largest frontal face in a picture (uint8 [h, w, 3] RGB or [h, w]) with a margin, or None."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    scale = min(1.0, DETECT / max(grey.shape))
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    min_side = max(24, min(grey.shape) // 6)
    boxes = _load_cascade().detectMultiScale(cv2.equalizeHist(grey), scaleFactor=1.1, minNeighbors=4, minSize=(min_side, min_side))
    if not len(boxes):
        return None
    x, y, width, height = max(boxes, key=lambda box: (box[2] * box[3], -box[0], -box[1])) / scale
    return x - MARGIN * width, y - MARGIN * height, width * (1 + 2 * MARGIN), height * (1 + 2 * MARGIN)


def decode_frames(file: Path, of: int) -> list[np.ndarray]:
    """Return `of` evenly spaced frames of a clip, including the first and the last: uint8 [h, w, 3] RGB each.

    Raises DataError for a clip without frames.
    """
    clip = cv2.VideoCapture(str(file))
    total = int(clip.get(cv2.CAP_PROP_FRAME_COUNT))
    try:
        check_pixels(int(clip.get(cv2.CAP_PROP_FRAME_WIDTH)), int(clip.get(cv2.CAP_PROP_FRAME_HEIGHT)))
    except ValueError as error:
        raise DataError(f"{file}: {error}") from None
    for _ in range(2):  # a clip's header may be wrong about its length; the second round uses the count of the first
        indices = np.linspace(0, max(total, 1) - 1, of).round().astype(int)
        clip, count, frames = cv2.VideoCapture(str(file)), 0, {}
        while count <= indices[-1] and clip.grab():
            if count in indices:
                decoded, frame = clip.retrieve()
                if not decoded:
                    break
                frames[count] = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
            count += 1
        clip.release()
        if indices[-1] in frames:
            return [frames[index] for index in indices]
        total = count
    raise DataError(f"{file}: no frame of this clip can be decoded")


def decode_items(root: Path, items: list[Item], how: DecodeOptions) -> Iterator[np.ndarray | str]:
    """Yield each item's picture or box, in order, or the reason of its failure as text. The frames of a clip are adjacent items."""
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
                yield crop_square(image, how.size, how.colour, how.offset)
            else:
                yield np.array(_unscale_box(find_face(image), image, file, item), np.float32)
        except DataError as error:
            yield str(error)


def _unscale_box(box: Box | None, image: np.ndarray, file: Path, item: Item) -> Box:
    """Convert a box that was found in a picture decoded smaller to pixels of the full picture."""
    if box is None:
        return (-1, -1, -1, -1)
    scale = 1.0
    if not item.of:
        with Image.open(file) as picture:
            scale = max(picture.size) / max(image.shape[:2])
    return (box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale)


def split_blocks(items: list[Item]) -> list[tuple[int, int]]:
    """Return the bounds of blocks of about BLOCK items, as (first, last + 1). No clip is in two blocks."""
    cuts = [0]
    for row in range(1, len(items)):
        if row - cuts[-1] >= BLOCK and items[row].file != items[row - 1].file:
            cuts.append(row)
    return list(zip(cuts, [*cuts[1:], len(items)], strict=True))


def fill_rows(root: Path, items: list[Item], how: DecodeOptions, file: Path, queue: int, parent: int = 0) -> Iterator[tuple[int, str]]:
    """Take blocks from a queue that several processes share, and fill their rows of the file. Yield each row that fails, with the reason.

    The queue is an open file of block numbers (int32). The processes share its file offset, so that each reads different numbers.
    A process that works for `parent` ends when the parent has ended.
    """
    blocks = split_blocks(items)
    with warnings.catch_warnings(action="ignore"), open(file, "r+b", buffering=0) as out:  # a damaged file raises an error or is usable
        while (not parent or os.getppid() == parent) and (number := os.read(queue, 4)):
            first, last = blocks[int.from_bytes(number, sys.byteorder)]
            block = np.zeros((last - first, *how.shape), how.dtype)  # written at once: page faults of a mapped file are slow
            for row, result in enumerate(decode_items(root, items[first:last], how)):
                if isinstance(result, str):
                    yield first + row, result
                else:
                    block[row] = result
            out.seek(first * block[:1].nbytes)
            out.write(block.data)


def main() -> None:
    """Run a process of `trainables.data.decoded_cache`. It reads its job from standard input and prints failures as lines of JSON."""
    root, items, how, file, queue = pickle.load(sys.stdin.buffer)  # safe to unpickle: the parent process wrote it
    cv2.setNumThreads(1)
    for failure in fill_rows(root, items, how, file, queue, os.getppid()):
        print(json.dumps(failure), flush=True)


if __name__ == "__main__":
    main()
