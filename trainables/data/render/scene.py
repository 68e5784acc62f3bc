"""The scene: pose, framing, light, background and camera, drawn for one of four cameras."""

from dataclasses import dataclass

import cv2
import numpy as np

from trainables.data.render.faces_archive import SIZE


@dataclass(frozen=True)
class Camera:
    """How pictures of one kind are taken. Ranges are uniform distributions; `_sd` are standard deviations."""

    yaw_sd: float
    """Degrees; pitch and roll likewise."""
    pitch: tuple[float, float]
    roll_sd: float
    contrast: tuple[float, float]
    """Share of the key light in all light."""
    tint: tuple[float, float]
    """Warmth of the light: above 0 is warm, below 0 is cold."""
    exposure_sd: float
    clutter: float
    """Probability of a cluttered background."""
    blur: tuple[float, float]
    """Pixels of the 64 x 64 picture."""
    grain: tuple[float, float]
    """Grey levels."""
    distance: tuple[float, float]
    """Eye-to-chin lengths."""
    framing_sd: float


CAMERAS = {
    "children": Camera(yaw_sd=7, pitch=(-6, 6), roll_sd=4, contrast=(0.3, 0.7), tint=(-0.05, 0.1), exposure_sd=0.1, clutter=0.3,
                       blur=(0, 0.5), grain=(1, 4), distance=(8, 14), framing_sd=0.03),
    "posed": Camera(yaw_sd=3, pitch=(-4, 4), roll_sd=1.5, contrast=(0.35, 0.55), tint=(-0.02, 0.05), exposure_sd=0.05, clutter=0.0,
                    blur=(0, 0.2), grain=(0.5, 2), distance=(12, 16), framing_sd=0.015),
    "wild": Camera(yaw_sd=11, pitch=(-9, 9), roll_sd=5, contrast=(0.25, 0.75), tint=(-0.12, 0.18), exposure_sd=0.15, clutter=0.9,
                   blur=(0, 0.6), grain=(1, 5), distance=(6, 16), framing_sd=0.035),
    "game": Camera(yaw_sd=7, pitch=(3, 12), roll_sd=4, contrast=(0.3, 0.7), tint=(-0.22, -0.05), exposure_sd=0.12, clutter=0.5,
                   blur=(0.2, 0.6), grain=(2, 5), distance=(4.5, 7), framing_sd=0.03),
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    yaw: float
    """Degrees; positive turns the face to the picture's right."""
    pitch: float
    """Positive looks down."""
    roll: float
    """Positive tilts the head clockwise in the picture."""
    zoom: float
    """Width of the picture in eye-to-chin lengths."""
    shift: tuple[float, float]
    distance: float
    light: np.ndarray
    """float [3], unit vector towards the key light"""
    key: np.ndarray
    """float [3], RGB of the key light; `ambient` likewise"""
    ambient: np.ndarray
    background: np.ndarray
    """float32 [SIZE, SIZE, 3], 0 to 1"""
    blur: float
    grain: float

    def project_points(self, points: np.ndarray, scale: float, size: int) -> np.ndarray:
        """Return points about the eyes' midpoint (decimetres) as column, row (pixels) and depth: [v, 3]."""
        x, y, depth = self.rotate_vectors(points / scale + np.array((0, 0.34, 0))).T
        near = self.distance / (self.distance - depth) * size / self.zoom
        return np.stack([size * (0.5 + self.shift[0]) + x * near, size * (0.5 + self.shift[1]) - y * near, depth], axis=1)

    def rotate_vectors(self, vectors: np.ndarray) -> np.ndarray:
        """Return vectors in head coordinates rotated into camera coordinates: [v, 3]."""
        yaw, pitch, roll = np.radians((self.yaw, self.pitch, self.roll))
        turn_yaw = np.array(((np.cos(yaw), 0, np.sin(yaw)), (0, 1, 0), (-np.sin(yaw), 0, np.cos(yaw))))
        turn_pitch = np.array(((1, 0, 0), (0, np.cos(pitch), -np.sin(pitch)), (0, np.sin(pitch), np.cos(pitch))))
        turn_roll = np.array(((np.cos(roll), np.sin(roll), 0), (-np.sin(roll), np.cos(roll), 0), (0, 0, 1)))
        result: np.ndarray = vectors @ (turn_roll @ turn_pitch @ turn_yaw).T
        return result


def make_warm_light(tint: float) -> np.ndarray:
    return np.array((1 + tint, 1, 1 - tint))


def draw_backdrop(cluttered: bool, rng: np.random.Generator) -> np.ndarray:
    """Draw a plain studio gradient, or a blurred room of boxes and blobs: float32 [SIZE, SIZE, 3], 0 to 1."""
    corners = rng.uniform(0.25, 0.9) + rng.normal(0, 0.05, 3) + rng.normal(0, 0.03, (2, 2, 3))
    picture = cv2.resize(np.clip(corners, 0, 1).astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    if cluttered:
        for _ in range(rng.integers(4, 12)):
            colour = tuple(float(c) for c in np.clip(rng.uniform(0.05, 0.95) + rng.normal(0, 0.08, 3), 0, 1))
            x, y, w, h = (int(v) for v in rng.integers(-10, SIZE, 4))
            if rng.random() < 0.6:
                cv2.rectangle(picture, (x, y), (x + abs(w), y + abs(h)), colour, -1)
            else:
                cv2.circle(picture, (x, y), 3 + abs(w) // 3, colour, -1, cv2.LINE_AA)
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 3.0))
    return picture


def draw_scene(camera: Camera, rng: np.random.Generator) -> Scene:
    """Draw a new scene for the camera. Every property comes from `rng`."""
    angle = rng.uniform(-1.2, 1.2)
    light = np.array((np.sin(angle), rng.uniform(0.1, 0.9), np.cos(angle) * 0.9))
    contrast = rng.uniform(*camera.contrast)
    exposure = np.exp(rng.normal(0, camera.exposure_sd))
    tint = rng.uniform(*camera.tint)
    return Scene(
        yaw=float(np.clip(rng.normal(0, camera.yaw_sd), -45, 45)),
        pitch=float(rng.uniform(*camera.pitch)),
        roll=float(np.clip(rng.normal(0, camera.roll_sd), -25, 25)),
        zoom=float(1.8 * np.exp(rng.normal(0, camera.framing_sd))),
        shift=(float(rng.normal(0, camera.framing_sd * 0.7)), float(rng.normal(0, camera.framing_sd * 0.7))),
        distance=float(rng.uniform(*camera.distance)),
        light=light / np.linalg.norm(light),
        key=1.25 * contrast * exposure * make_warm_light(tint),
        ambient=1.05 * (1 - contrast) * exposure * make_warm_light(rng.normal(0, 0.04)),
        background=draw_backdrop(bool(rng.random() < camera.clutter), rng) * np.clip(exposure, 0.5, 1.3),
        blur=float(rng.uniform(*camera.blur)),
        grain=float(rng.uniform(*camera.grain)),
    )
