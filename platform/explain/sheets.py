"""Sheets: faces and maps laid out with their names, rendered as a PNG and as an SVG whose text stays text."""

import base64
import io
from dataclasses import dataclass, field
from html import escape

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from search_spaces.pictures import MapKind

TILE, GAP, LINE = 88, 8, 15
"""in pixels: side of a picture, gap between pictures, height of a line of text"""
SHARP = 2
"""pixels of the PNG per pixel of the layout"""
RIGHT, WRONG, NEUTRAL = "#1a9641", "#d7191c", "#8a939c"
INK, SOFT = "#1c2126", "#68727d"
Anchor = str
"""l, m or r: the end or the middle by which a text is placed"""


@dataclass
class Sheet:
    """Pictures and texts at positions in pixels from the upper left corner. The sheet is as large as they need."""

    _tiles: list[tuple[float, float, np.ndarray, str, bool]] = field(default_factory=list)
    _texts: list[tuple[float, float, str, float, str, Anchor]] = field(default_factory=list)
    _width: float = 0.0
    _height: float = 0.0

    def add_tile(self, x: float, y: float, picture: np.ndarray, border: str = "", dashed: bool = False) -> None:
        """Add a picture uint8 [h, w, 3] with its upper left corner at x, y. A dashed border means that it must be read with care."""
        self._tiles.append((x, y, picture, border, dashed))
        self._width, self._height = max(self._width, x + TILE + GAP), max(self._height, y + TILE + GAP)

    def add_text(self, x: float, y: float, text: str, size: float = 11, colour: str = INK, anchor: Anchor = "l") -> None:
        """Add a line of text; y is its middle."""
        self._texts.append((x, y, text, size, colour, anchor))
        end = x + measure_text(text, size) * {"l": 1, "m": 0.5, "r": 0}[anchor]
        self._width, self._height = max(self._width, end + GAP), max(self._height, y + LINE)

    def render_png(self) -> bytes:
        image = Image.new("RGB", (round(self._width * SHARP), round(self._height * SHARP)), "white")
        draw = ImageDraw.Draw(image)
        for x, y, picture, border, dashed in self._tiles:
            box = [round(SHARP * edge) for edge in (x, y, x + TILE, y + TILE)]
            large = cv2.resize(picture, (TILE * SHARP, TILE * SHARP), interpolation=cv2.INTER_CUBIC)
            image.paste(Image.fromarray(large), (box[0], box[1]))
            if border:
                _draw_frame(draw, box, border, dashed)
        for x, y, text, size, colour, anchor in self._texts:
            draw.text((SHARP * x, SHARP * y), text, colour, ImageFont.load_default(SHARP * size), anchor=f"{anchor}m")
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=6)
        return buffer.getvalue()

    def render_svg(self) -> bytes:
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self._width:.0f} {self._height:.0f}" '
            f'width="{self._width:.0f}" font-family="Helvetica, Arial, sans-serif">'
        ]
        for x, y, picture, border, dashed in self._tiles:
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, "JPEG", quality=88, subsampling=0)  # a third of a PNG's size: a report holds hundreds
            data = base64.b64encode(buffer.getvalue()).decode()
            parts.append(f'<image x="{x:.0f}" y="{y:.0f}" width="{TILE}" height="{TILE}" href="data:image/jpeg;base64,{data}"/>')
            if border:
                dashes = ' stroke-dasharray="6 4"' if dashed else ""
                parts.append(
                    f'<rect x="{x - 1:.0f}" y="{y - 1:.0f}" width="{TILE + 2}" height="{TILE + 2}" fill="none" stroke="{border}" '
                    f'stroke-width="3"{dashes}/>'
                )
        ends = {"l": "start", "m": "middle", "r": "end"}  # the length keeps texts apart in a viewer with a wider font
        for x, y, text, size, colour, anchor in self._texts:
            length = f'textLength="{measure_text(text, size):.1f}" lengthAdjust="spacingAndGlyphs"'
            parts.append(
                f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{ends[anchor]}" '
                f'dominant-baseline="central" {length}>{escape(text)}</text>'
            )
        return "\n".join([*parts, "</svg>\n"]).encode()


def measure_text(text: str, size: float = 11) -> float:
    return ImageFont.load_default(SHARP * size).getlength(text) / SHARP


def render_face(pixels: np.ndarray, side: int = TILE) -> np.ndarray:
    """Return an image uint8 [c, s, s] as a picture uint8 [side, side, 3]."""
    picture = np.repeat(pixels, 3, axis=0) if len(pixels) == 1 else pixels
    large = cv2.resize(np.ascontiguousarray(picture.transpose(1, 2, 0)), (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.uint8)


def render_overlay(pixels: np.ndarray, found: np.ndarray, how: MapKind, side: int = TILE) -> np.ndarray:
    """Draw a map float [s, s], 0 to 1, over its image uint8 [c, s, s], which turns grey.

    Grad-CAM: from blue (0) to red (1), in equal parts with the face, as pytorch-grad-cam draws it (Virgolin et al. 2022, figure 4).
    Saliency, which is 0 at most pixels: the face glows at high values.
    """
    grey = render_face(pixels, side).astype(np.float32).mean(2, keepdims=True)
    level = np.clip(cv2.resize(found.astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)[:, :, None]
    if how == "saliency":
        colours, weight = matplotlib.colormaps["inferno"](0.3 + 0.65 * level[:, :, 0]), np.asarray(0.85 * level)
    else:
        colours, weight = matplotlib.colormaps["jet"](level[:, :, 0]), np.asarray(0.5)
    result: np.ndarray = np.clip((1 - weight) * grey + weight * 255 * colours[:, :, :3], 0, 255).astype(np.uint8)
    return result


def render_heat_map(found: np.ndarray, side: int = TILE) -> np.ndarray:
    """Draw a map float [s, s], 0 to 1, without an image: uint8 [side, side, 3]."""
    large = np.clip(cv2.resize(found.astype(np.float32), (side, side), interpolation=cv2.INTER_NEAREST), 0, 1)
    return np.asarray(255 * matplotlib.colormaps["inferno"](large)[:, :, :3], np.uint8)


def _draw_frame(draw: ImageDraw.ImageDraw, box: list[int], colour: str, dashed: bool, thick: int = 3 * SHARP) -> None:
    left, top, right, bottom = box[0] - thick // 2, box[1] - thick // 2, box[2] + thick // 2 - 1, box[3] + thick // 2 - 1
    if not dashed:
        draw.rectangle((left, top, right, bottom), outline=colour, width=thick)
        return
    for start in range(left, right, 10 * SHARP):
        end = min(start + 6 * SHARP, right)
        draw.rectangle((start, top, end, top + thick - 1), fill=colour)
        draw.rectangle((start, bottom - thick + 1, end, bottom), fill=colour)
    for start in range(top, bottom, 10 * SHARP):
        end = min(start + 6 * SHARP, bottom)
        draw.rectangle((left, start, left + thick - 1, end), fill=colour)
        draw.rectangle((right - thick + 1, start, right, end), fill=colour)
