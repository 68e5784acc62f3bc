"""A z-buffer rasteriser: each pixel shows the nearest of the triangles that cover its centre."""

from typing import NamedTuple

import numpy as np


class Buffer(NamedTuple):
    """The p covered pixels of a size x size picture, in row-major order."""

    pixel: np.ndarray
    """int64 [p], row * size + column"""
    triangle: np.ndarray
    """int64 [p], row of `triangles` seen at the pixel"""
    weights: np.ndarray
    """float32 [p, 3], barycentric: the value at a pixel is the weighted sum over the triangle's corners"""
    depth: np.ndarray
    """float32 [p], larger is nearer"""

    def interpolate_values(self, values: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """Return vertex values [v, c] interpolated at each covered pixel: [p, c]."""
        result: np.ndarray = np.einsum("pk,pkc->pc", self.weights, values[triangles[self.triangle]])
        return result


def rasterise_triangles(points: np.ndarray, triangles: np.ndarray, size: int) -> Buffer:
    """Return the triangle that each pixel centre (column + .5, row + .5) sees.

    `points` [v, 3]: column and row in pixels (rows run downwards), and depth (larger is nearer); `triangles` [t, 3]. Both windings are
    drawn; triangles without area are not. Depth and all values are interpolated in screen space. This is exact for an orthographic
    view, and close to it for triangles as small as those of a head.
    """
    corners = points[triangles].astype(np.float64)
    x, y, z = corners[..., 0], corners[..., 1], corners[..., 2]
    area = compute_signed_area(points, triangles)
    left, top = (np.clip(np.ceil(a.min(axis=1) - 0.5), 0, size).astype(np.int64) for a in (x, y))
    right, bottom = (np.clip(np.floor(a.max(axis=1) - 0.5) + 1, 0, size).astype(np.int64) for a in (x, y))
    width, height = np.maximum(right - left, 0), np.maximum(bottom - top, 0)
    count = np.where(np.abs(area) > 1e-12, width * height, 0)

    # One entry per (triangle, pixel of its bounding box).
    owner = np.repeat(np.arange(len(triangles)), count)
    offset = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    column, row = left[owner] + offset % width[owner], top[owner] + offset // width[owner]
    # The weight of corner k is linear in the pixel: the edge function of the opposite edge over the triangle's area.
    weights = np.empty((len(owner), 3))
    for k in (0, 1):
        i, j = (k + 1) % 3, (k + 2) % 3
        with np.errstate(divide="ignore", invalid="ignore"):
            across, down = (y[:, i] - y[:, j]) / area, (x[:, j] - x[:, i]) / area
            constant = (x[:, i] * y[:, j] - x[:, j] * y[:, i]) / area
        weights[:, k] = across[owner] * (column + 0.5) + down[owner] * (row + 0.5) + constant[owner]
    weights[:, 2] = 1 - weights[:, 0] - weights[:, 1]
    inside = (weights[:, 0] >= 0) & (weights[:, 1] >= 0) & (weights[:, 2] >= 0)
    owner, weights, pixel = owner[inside], weights[inside], (row * size + column)[inside]
    depth = (weights * z[owner]).sum(axis=1)

    order = np.argsort(depth, kind="stable")
    nearest = np.full(size * size, -1)
    nearest[pixel[order]] = order  # of repeated indices the last, which is the nearest, is kept
    visible = nearest[nearest >= 0]
    return Buffer(pixel[visible], owner[visible], weights[visible].astype(np.float32), depth[visible].astype(np.float32))


def compute_signed_area(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return twice the signed area of each triangle on the screen, float64 [t]: negative if its corners run counter-clockwise as seen."""
    x, y = points[triangles, :2].astype(np.float64).transpose(2, 0, 1)
    result: np.ndarray = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    return result


def compute_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Return smooth unit normals of the vertices, float [v, 3]: the area-weighted mean of the adjoining triangles' normals."""
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    face_normals = np.cross(b - a, c - a)
    total = np.stack(
        [sum(np.bincount(triangles[:, k], face_normals[:, axis], len(vertices)) for k in range(3)) for axis in range(3)], axis=1
    )
    result: np.ndarray = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return result
