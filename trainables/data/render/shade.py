"""The picture: skin, eyes, brows, lips, hair and clothes are painted in rest coordinates, lit, and put before the background."""

from typing import NamedTuple

import cv2
import numpy as np

from trainables.data.render.faces_archive import SIZE
from trainables.data.render.mesh import PARTS, Head, combine_shapes
from trainables.data.render.people import Person
from trainables.data.render.raster import compute_normals, compute_signed_area, rasterise_triangles
from trainables.data.render.scene import Scene

SUPERSAMPLE = 2
EYE_HEIGHT, EYE_DEPTH, EYE_APART, EYE_RADIUS = 7.285, 1.245, 0.311, 0.139
"""Of the base mesh, in decimetres."""
TEETH, TONGUE, GUMS = np.array((0.9, 0.87, 0.8)), np.array((0.72, 0.32, 0.32)), np.array((0.22, 0.06, 0.06))


class Picture(NamedTuple):
    image: np.ndarray
    """uint8 [SIZE, SIZE, 3], RGB"""
    regions: np.ndarray
    """int64 [5, 4], one box (left, top, right, bottom; right and bottom exclusive) for each of REGIONS, in pixels"""


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def brow_mask(rest: np.ndarray, thickness: float) -> np.ndarray:
    """Return the darkness of the brows, 0 to 1, at points of the base mesh: an arc that is full near the nose and thins outwards."""
    x, y, z = np.abs(rest[:, 0]), rest[:, 1], rest[:, 2]
    along = (x - 0.11) / 0.47
    arc = 7.45 + 0.05 * np.sin(np.clip(along, -0.2, 1.2) * 3.0)
    half = thickness * (0.036 - 0.018 * np.clip(along, 0, 1))
    ends = smoothstep(-0.06, 0.08, along) * smoothstep(1.1, 0.85, along)
    result: np.ndarray = ends * smoothstep(1.5, 0.5, np.abs(y - arc) / half) * (z > 0.8)
    return result


def scalp_mask(rest: np.ndarray, person: Person) -> np.ndarray:
    """Return where hair grows, 0 to 1, at points of the base mesh."""
    x, y, z = rest.T
    line = np.interp(z, (-0.4, 0.0, 0.25, 0.6, 0.8, 1.1, 1.4), (6.5, 6.9, 7.4, 7.45, 7.62, 7.9, 7.98))
    front = smoothstep(0.7, 1.1, z)
    ragged = 0.02 * np.sin(x * 31 + person.blotch[0, 0]) + 0.015 * np.sin(x * 67 + person.blotch[0, 1])
    line = line + person.hairline + front * (ragged - person.fringe)
    result: np.ndarray = smoothstep(-0.03, 0.05, y - line) * (y > 6.3)
    return result


def compute_albedo(
    person: Person, rest: np.ndarray, lips: np.ndarray, cavity: np.ndarray, part: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return colour [p, 3] (display values) and glossiness [p] of surface points, according to what is painted there."""
    x, y, z = rest.T
    blotch = sum(np.sin(rest @ (phase + 4 + 4 * k) * (-1) ** k + 3 * phase[0]) for k, phase in enumerate(person.blotch))
    colour = person.skin * (1 + 0.02 * blotch[:, None])
    gloss = np.full(len(rest), 0.09)

    cheeks = np.exp(-(((np.abs(x) - 0.42) / 0.2) ** 2 + ((y - 6.88) / 0.16) ** 2))
    nose = np.exp(-((x / 0.13) ** 2 + ((y - 6.93) / 0.1) ** 2))
    blush = cheeks + 0.7 * nose
    colour = colour * (1 - 0.09 * (blush * (z > 0.8))[:, None] * np.array((0.1, 1, 0.9)))
    beard = smoothstep(0.75, 0.5, np.abs(x)) * smoothstep(6.86, 6.7, y) * smoothstep(6.0, 6.2, y) * (z > 0.5) * (1 - lips)
    colour = colour * (1 - 0.45 * person.stubble * beard[:, None]) + 0.1 * person.stubble * beard[:, None] * person.hair
    colour = colour + smoothstep(0.25, 0.75, lips)[:, None] * (person.lips - colour)
    gloss = gloss + 0.15 * lips

    eye = np.stack([np.abs(x) - EYE_APART, y - EYE_HEIGHT, z - EYE_DEPTH], axis=1)
    margin = smoothstep(1.3, 1.05, np.linalg.norm(eye, axis=1) / EYE_RADIUS) * np.where(eye[:, 1] > -0.02, 1.0, 0.55)
    colour = colour * (1 - 0.5 * margin[:, None])
    mouth = smoothstep(0.2, 0.6, cavity)
    colour = colour + mouth[:, None] * (GUMS - colour)
    brow = brow_mask(rest, person.brow)
    colour = colour + np.clip(0.8 * brow * person.brow, 0, 0.9)[:, None] * (person.hair * 0.7 - colour)

    is_hair = np.maximum(scalp_mask(rest, person) * (0.55 if person.hair_volume == 0 else 1), part == PARTS.index("hair"))
    angle = np.arctan2(x, z - 0.4)
    strands = 1 + 0.16 * np.sin(angle * 23 + y * 3 + person.blotch[1, 0]) + 0.12 * np.sin(angle * 51 + y * 5 + person.blotch[1, 1])
    colour = colour + is_hair[:, None] * (person.hair * strands[:, None] - colour)
    shirt = smoothstep(0.03, -0.03, y - 5.82 - 0.18 * np.abs(x)) * (part == PARTS.index("skin"))
    colour = colour + shirt[:, None] * (person.shirt - colour)
    gloss = np.where(is_hair > 0.5, 0.2, gloss) * (1 - mouth) * (1 - shirt)

    distance = np.hypot(eye[:, 0], eye[:, 1]) / EYE_RADIUS
    iris = person.iris * (0.75 + 0.5 * smoothstep(0.2, 0.45, distance))[:, None]
    ball = np.array((0.93, 0.91, 0.89)) + smoothstep(0.56, 0.48, distance)[:, None] * (iris - 0.9)
    ball = np.where((distance < 0.22)[:, None], 0.03, np.clip(ball, 0.02, 1))
    for name, paint, shine in (("eye", ball, 0.5), ("teeth", TEETH, 0.2), ("tongue", TONGUE, 0.2)):
        mask = part == PARTS.index(name)
        colour[mask] = np.broadcast_to(paint, colour.shape)[mask]
        gloss[mask] = shine
    return np.clip(colour, 0, 1), gloss


def compute_occlusion(depth: np.ndarray, reach: float) -> np.ndarray:
    """Return the share of the ambient light that reaches each pixel, [s, s].

    A point behind its surroundings is in a crease or a hollow.
    """
    light = np.ones_like(depth)
    for sigma, strength in ((reach * 0.25, 5.0), (reach, 1.6)):
        behind = np.clip(cv2.GaussianBlur(depth, (0, 0), sigma) - depth, 0, None)
        light *= np.exp(-strength * behind / 0.1)
    result: np.ndarray = np.clip(light, 0.25, 1)
    return result


def find_hair_gaps(hair: np.ndarray, size: int) -> np.ndarray:
    """Return the pixels from the first to the last of the `hair` pixels in each row: bool [size, size].

    The mesh has gaps where real hair has more strands behind.
    """
    mask = np.zeros((size, size), bool)
    mask.ravel()[hair] = True
    from_left, from_right = np.logical_or.accumulate(mask, axis=1), np.logical_or.accumulate(mask[:, ::-1], axis=1)[:, ::-1]
    return from_left & from_right


def find_region_boxes(points: np.ndarray, head: Head) -> np.ndarray:
    """Return the boxes of REGIONS from the projected vertices (64-pixel coordinates): int64 [5, 4].

    A box lies inside the picture and is never empty.
    """
    left = head.rest[:, 0] > 0
    offset = np.stack([np.abs(head.rest[:, 0]) - EYE_APART, head.rest[:, 1] - EYE_HEIGHT, head.rest[:, 2] - EYE_DEPTH], axis=1)
    eye = (np.linalg.norm(offset, axis=1) < EYE_RADIUS * 1.3) & (head.rest[:, 2] > EYE_DEPTH)
    brow = brow_mask(head.rest, 1.3) > 0.3
    boxes = []
    for member in (eye & left, eye & ~left, brow & left, brow & ~left, head.lips > 0.4):
        low, high = np.floor(points[member, :2].min(axis=0)), np.ceil(points[member, :2].max(axis=0))
        low = np.clip(low, 0, SIZE - 1)
        boxes.append(np.concatenate([low, np.clip(high, low + 1, SIZE)]))
    return np.array(boxes, np.int64)


def build_geometry(head: Head, person: Person, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the person with facial units `weights` and with hair: vertices [v, 3], triangles [t, 3] and their part [t]."""
    amplitude = np.float32(person.scale / 1.1)  # the units were made for an adult face
    moved = person.shape + amplitude * combine_shapes(weights, head.units)
    selected = head.part != PARTS.index("hair")
    if person.long_hair:
        selected = selected | (head.rest[head.triangles, 2].max(axis=1) < 0.62)  # hair further forward would hang over the face
    triangles = head.triangles[selected]
    thickness = (person.hair_volume * amplitude * scalp_mask(head.rest, person))[:, None]
    return moved + thickness * compute_normals(moved, triangles), triangles, head.part[selected]


def light_surface(colour: np.ndarray, gloss: np.ndarray, normal: np.ndarray, openness: np.ndarray, scene: Scene) -> np.ndarray:
    """Return the linear light [p, 3] from surface points: wrapped Lambert key light, specular highlight (Blinn 1977) and sky light.

    `openness` [p, 1] attenuates all three.
    """
    lambert = np.clip((normal @ scene.light + 0.2) / 1.2, 0, 1)[:, None]
    half = scene.light + np.array((0, 0, 1.0))
    glint = np.clip(normal @ (half / np.linalg.norm(half)), 0, 1)[:, None] ** 24 * gloss[:, None]
    sky = 0.75 + 0.25 * normal[:, 1:2]
    result: np.ndarray = (
        colour**2.2 * (scene.key * lambert * (0.4 + 0.6 * openness) + scene.ambient * sky * openness) + scene.key * glint * openness
    )
    return result


def render_picture(head: Head, person: Person, weights: np.ndarray, scene: Scene, rng: np.random.Generator) -> Picture:
    """Render one picture of a person. `weights` [u] are the facial units; `rng` gives the camera's noise."""
    size, hair = SIZE * SUPERSAMPLE, PARTS.index("hair")
    vertices, triangles, part = build_geometry(head, person, weights)
    facing = scene.rotate_vectors(compute_normals(vertices, triangles))
    points = scene.project_points(vertices, person.scale, size)
    visible = (compute_signed_area(points, triangles) < 0) | (part == hair)  # the back of a closed surface is not visible
    triangles, part = triangles[visible], part[visible]

    buffer = rasterise_triangles(points, triangles, size)
    values = buffer.interpolate_values(np.concatenate([head.rest, facing, head.lips[:, None], head.cavity[:, None]], axis=1), triangles)
    rest, normal, lips, cavity = values[:, :3], values[:, 3:6], values[:, 6], values[:, 7]
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    normal *= np.where(normal[:, 2:] < 0, -1, 1)  # hair is visible from both sides
    depth = np.full((size, size), buffer.depth.min(), np.float32)
    depth.ravel()[buffer.pixel] = buffer.depth
    openness = compute_occlusion(depth, size * 0.05).ravel()[buffer.pixel][:, None]
    linear = light_surface(*compute_albedo(person, rest, lips, cavity, part[buffer.triangle]), normal, openness, scene)
    linear *= (0.55 / person.skin.mean()) ** 0.45  # a camera exposes dark skin longer, but not so long that it appears light

    picture = cv2.resize(scene.background.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR) ** 2.2
    if person.long_hair:
        picture[find_hair_gaps(buffer.pixel[part[buffer.triangle] == hair], size)] = (person.hair * 0.5) ** 2.2
    picture.reshape(-1, 3)[buffer.pixel] = linear
    small = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    if scene.blur > 0.1:
        small = cv2.GaussianBlur(small, (0, 0), scene.blur)
    noisy = 255 * np.clip(small, 0, 1) ** (1 / 2.2) + rng.normal(0, scene.grain, small.shape)
    return Picture(np.clip(np.rint(noisy), 0, 255).astype(np.uint8), find_region_boxes(points / SUPERSAMPLE, head))
