"""Sheets: PNG and SVG show the same content, borders are in the right places, and special characters in names are escaped."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from platform.explain.sheets import RIGHT, SHARP, TILE, WRONG, Sheet, measure_text, render_face, render_heat_map, render_overlay

SVG = "{http://www.w3.org/2000/svg}"


def picture(level: int) -> np.ndarray:
    return np.full((TILE, TILE, 3), level, np.uint8)


def colour(text: str) -> tuple[int, ...]:
    return tuple(int(text[at : at + 2], 16) for at in (1, 3, 5))


def test_both_forms_show_pictures_borders_and_names() -> None:
    sheet = Sheet()
    sheet.add_tile(40, 30, picture(200), RIGHT)
    sheet.add_tile(150, 30, picture(50), WRONG, dashed=True)
    sheet.add_text(10, 10, 'SC(c<-a) & "co"')
    image = np.asarray(Image.open(io.BytesIO(sheet.render_png())).convert("RGB"))
    assert tuple(image[SHARP * 60, SHARP * 80]) == (200, 200, 200) and tuple(image[SHARP * 60, SHARP * 180]) == (50, 50, 50)
    edges = {(x, text): image[SHARP * 30 : SHARP * (30 + TILE), SHARP * x - 1] for x, text in ((40, RIGHT), (150, WRONG))}
    share = {text: float((edge == colour(text)).all(1).mean()) for (_, text), edge in edges.items()}
    assert share[RIGHT] == 1 and 0.4 < share[WRONG] < 0.8
    tree = ElementTree.fromstring(sheet.render_svg())
    (text,) = tree.iter(f"{SVG}text")
    assert text.text == 'SC(c<-a) & "co"'
    assert float(text.get("textLength", "nan")) == pytest.approx(measure_text('SC(c<-a) & "co"'), abs=0.05)  # in any viewer's font
    frames = list(tree.iter(f"{SVG}rect"))
    assert [frame.get("stroke") for frame in frames] == [RIGHT, WRONG] and [bool(f.get("stroke-dasharray")) for f in frames] == [
        False,
        True,
    ]
    shown = [element.get("href", "") for element in tree.iter(f"{SVG}image")]
    levels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(href.partition(",")[2])))).mean() for href in shown]
    assert levels == pytest.approx([200, 50], abs=1) and all(href.startswith("data:image/jpeg;base64,") for href in shown)
    size = re.search(rb'viewBox="0 0 (\d+) (\d+)"', sheet.render_svg())
    assert size and image.shape[:2] == (SHARP * int(size[2]), SHARP * int(size[1]))


def test_a_long_name_is_not_cut_off() -> None:
    sheet = Sheet()
    sheet.add_text(10, 10, "a method with a very long name " * 5)
    image = np.asarray(Image.open(io.BytesIO(sheet.render_png())).convert("L"))
    assert image[:, -SHARP * 4 :].min() == 255 and image.min() < 100


@pytest.mark.parametrize("channels", [1, 3])
def test_an_overlay_goes_from_blue_to_red(channels: int) -> None:
    """Figure 4 of Virgolin et al.: the redder a pixel, as opposed to blue, the more it raises the class."""
    pixels = np.full((channels, 48, 48), 120, np.uint8)
    ramp = np.tile(np.linspace(0, 1, 48, dtype=np.float32), (48, 1))
    shown = render_overlay(pixels, ramp, "gradcam").astype(int)
    red_less_blue = shown[TILE // 2, :, 0] - shown[TILE // 2, :, 2]
    assert red_less_blue[0] < -50 and red_less_blue[-1] > 50 and abs(red_less_blue[TILE // 2]) < 20
    assert np.array_equal(shown, render_overlay(pixels, ramp, "gradcam++"))
    assert render_face(pixels).shape == shown.shape == (TILE, TILE, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_saliency_glows_where_it_is_high_and_is_the_face_elsewhere(channels: int) -> None:
    pixels = np.full((channels, 48, 48), 120, np.uint8)
    heat_map = np.zeros((48, 48), np.float32)
    heat_map[8:16, 30:40] = 1
    shown = render_overlay(pixels, heat_map, "saliency").astype(int)
    spread = shown.max(2) - shown.min(2)
    assert spread[22, 64] > 60 and spread[60, 20] == 0 and abs(shown[60, 20, 0] - 120) <= 1
    assert render_heat_map(heat_map).shape == shown.shape == (TILE, TILE, 3)
    assert render_heat_map(heat_map)[22, 64].sum() > render_heat_map(heat_map)[60, 20].sum()


def test_the_same_sheet_has_the_same_bytes() -> None:
    def made() -> Sheet:
        sheet = Sheet()
        sheet.add_tile(10, 10, picture(3), WRONG)
        sheet.add_text(5, 5, "x")
        return sheet

    assert made().render_png() == made().render_png() and made().render_svg() == made().render_svg()
