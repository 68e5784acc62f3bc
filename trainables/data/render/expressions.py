"""Facial units of each expression, and simulated ratings of it.

Presets follow EMFACS (Ekman & Friesen 1983) in the 52 ARKit units. A name without a side means both sides. Children's variants follow
what CAFE shows (LoBue & Thrasher 2015): every expression also with the mouth open, disgust with the tongue out, and blends.
"""

from dataclasses import dataclass

import numpy as np

from trainables.data.dataset import CLASSES


@dataclass(frozen=True)
class Acting:
    """How well people of one kind show the requested expression."""

    intensity: tuple[float, float]
    wobble: float
    """Relative standard deviation of each unit about its preset."""
    opened: float
    """Probability of the open-mouthed variant."""
    blend: float
    """Largest share of the expression with which the requested one is confused."""
    nuisance: int
    """Number of unrelated units that are active."""
    rater_noise: float
    """Probability that a rater misses an expression of full intensity."""


ACTING = {
    "children": Acting(intensity=(0.45, 1.0), wobble=0.32, opened=0.5, blend=0.4, nuisance=3, rater_noise=0.28),
    "posed": Acting(intensity=(0.75, 1.0), wobble=0.15, opened=0.4, blend=0.1, nuisance=1, rater_noise=0.1),
    "wild": Acting(intensity=(0.55, 1.0), wobble=0.25, opened=0.4, blend=0.2, nuisance=2, rater_noise=0.24),
    "game": Acting(intensity=(0.6, 1.0), wobble=0.25, opened=0.5, blend=0.3, nuisance=2, rater_noise=0.2),
}

PRESETS: dict[str, tuple[dict[str, float], ...]] = {
    "anger": (
        {"browDown": 1.0, "eyeSquint": 0.6, "mouthPress": 0.8, "mouthRollLower": 0.5, "mouthRollUpper": 0.5, "noseSneer": 0.35},
        {"browDown": 1.0, "eyeSquint": 0.5, "jawOpen": 0.3, "mouthLowerDown": 0.8, "mouthUpperUp": 0.6, "noseSneer": 0.5},
    ),
    "contempt": (
        {"mouthSmileLeft": 0.8, "mouthDimpleLeft": 0.9, "cheekSquintLeft": 0.4, "eyeSquint": 0.3, "browDownRight": 0.3},
        {"mouthSmileRight": 0.8, "mouthDimpleRight": 0.9, "cheekSquintRight": 0.4, "eyeSquint": 0.3, "browOuterUpLeft": 0.5},
    ),
    "disgust": (
        {"noseSneer": 1.0, "mouthUpperUp": 0.7, "browDown": 0.6, "cheekSquint": 0.6, "mouthFrown": 0.4, "eyeSquint": 0.5},
        {"noseSneer": 1.0, "mouthUpperUp": 0.9, "browDown": 0.5, "cheekSquint": 0.5, "jawOpen": 0.25, "eyeSquint": 0.6, "tongueOut": 0.7},
    ),
    "fear": (
        {"browInnerUp": 1.0, "browOuterUp": 0.4, "browDown": 0.3, "eyeWide": 1.0, "mouthStretch": 0.9, "mouthFrown": 0.3},
        {"browInnerUp": 1.0, "browOuterUp": 0.5, "browDown": 0.3, "eyeWide": 1.0, "mouthStretch": 0.9, "jawOpen": 0.35},
    ),
    "happiness": (
        {"mouthSmile": 0.9, "cheekSquint": 0.8, "eyeSquint": 0.3},
        {"mouthSmile": 1.0, "cheekSquint": 0.8, "eyeSquint": 0.3, "mouthUpperUp": 0.45, "jawOpen": 0.25},
    ),
    "neutral": ({"jawOpen": 0.02}, {"jawOpen": 0.25}),
    "sadness": (
        {"browInnerUp": 1.0, "browDown": 0.3, "mouthFrown": 1.0, "mouthShrugLower": 0.7, "eyeBlink": 0.2, "eyeLookDown": 0.4},
        {"browInnerUp": 1.0, "browDown": 0.3, "mouthFrown": 1.0, "jawOpen": 0.25, "mouthLowerDown": 0.4, "eyeSquint": 0.5},
    ),
    "surprise": (
        {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 0.8, "jawOpen": 0.65, "mouthFunnel": 0.3},
        {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 0.7, "jawOpen": 0.4},
    ),
    "anxiety": (
        {"browInnerUp": 0.7, "eyeWide": 0.4, "mouthRollLower": 0.9, "mouthPress": 0.6, "mouthStretch": 0.4, "eyeLookDown": 0.3},
        {"browInnerUp": 0.7, "browDown": 0.4, "mouthStretch": 0.6, "mouthRollUpper": 0.7, "jawOpen": 0.15},
    ),
    "curiosity": ({"browOuterUpLeft": 0.9, "browInnerUp": 0.4, "eyeWide": 0.4, "jawOpen": 0.12},),
    "uncertainty": ({"browInnerUp": 0.7, "mouthLeft": 0.6, "mouthShrugLower": 0.7, "mouthPucker": 0.3, "eyeLookUp": 0.5},),
    "excitement": ({"mouthSmile": 1.0, "jawOpen": 0.55, "eyeWide": 0.6, "browOuterUp": 0.7, "browInnerUp": 0.6, "mouthUpperUp": 0.4},),
    "frustration": ({"browDown": 0.9, "mouthPress": 0.8, "mouthRollLower": 0.6, "cheekPuff": 0.5, "mouthFrown": 0.4},),
}
"""Weights at full intensity, by expression: mouth closed, then mouth open (surprise: wide open, then less)."""

NUISANCE = (
    "jawOpen", "eyeBlink", "eyeSquint", "browOuterUp", "browInnerUp", "browDown", "mouthPucker", "mouthLeft", "mouthRight", "mouthDimple",
    "mouthSmile", "mouthFrown", "mouthPress", "mouthShrugLower", "mouthFunnel", "cheekPuff", "jawForward",
)  # fmt: skip

BLENDS = {"fear": "surprise", "surprise": "fear", "sadness": "anger", "anger": "sadness", "disgust": "anger", "happiness": "surprise"}

AFFECT = {
    "anger": (-0.6, 0.7), "contempt": (-0.5, 0.2), "disgust": (-0.7, 0.4), "fear": (-0.65, 0.8), "happiness": (0.85, 0.5),
    "neutral": (0.0, 0.0), "sadness": (-0.75, -0.35), "surprise": (0.15, 0.85), "anxiety": (-0.5, 0.6), "curiosity": (0.3, 0.4),
    "uncertainty": (-0.2, 0.1), "excitement": (0.8, 0.9), "frustration": (-0.6, 0.5),
}  # fmt: skip
"""Valence and arousal at full intensity (Russell 1980)."""

CONFUSED = {
    "anger": {"disgust": 3, "sadness": 2, "neutral": 2, "contempt": 1, "fear": 1},
    "contempt": {"neutral": 4, "happiness": 3, "anger": 1, "disgust": 1},
    "disgust": {"anger": 4, "sadness": 1, "contempt": 1, "neutral": 1},
    "fear": {"surprise": 5, "sadness": 2, "neutral": 1, "anger": 1},
    "happiness": {"neutral": 3, "surprise": 1, "contempt": 1},
    "neutral": {"sadness": 3, "anger": 1, "contempt": 2, "happiness": 1},
    "sadness": {"neutral": 3, "anger": 2, "fear": 2, "disgust": 1},
    "surprise": {"fear": 4, "happiness": 2, "neutral": 1},
    "anxiety": {"fear": 5, "sadness": 3, "neutral": 3},
    "curiosity": {"neutral": 3, "surprise": 3, "happiness": 1},
    "uncertainty": {"neutral": 4, "sadness": 2, "contempt": 1},
    "excitement": {"happiness": 6, "surprise": 3},
    "frustration": {"anger": 6, "sadness": 2, "disgust": 1},
}
"""Odds of raters' answers when they miss an expression."""


def split_sides(weights: dict[str, float], units: tuple[str, ...]) -> dict[str, float]:
    """Return the same weights by full unit name: `browDown` becomes browDownLeft and browDownRight."""
    full: dict[str, float] = {}
    for name, weight in weights.items():
        for unit in [name] if name in units else [f"{name}Left", f"{name}Right"]:
            full[unit] = max(full.get(unit, 0), weight)
    return full


def perform_expression(label: str, intensity: float, acting: Acting, units: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
    """Return the weights of the facial units [u], 0 to 1, for one attempt at an expression."""
    index = {name: k for k, name in enumerate(units)}
    weights = np.zeros(len(units))
    variants = PRESETS[label]
    preset = variants[int(rng.random() < acting.opened) % len(variants)]
    share = rng.uniform(0, acting.blend) if label in BLENDS else 0.0
    for component, amount in ((preset, 1 - share), (PRESETS[BLENDS.get(label, label)][0], share)):
        for name, weight in split_sides(component, units).items():
            weights[index[name]] += amount * weight
    weights *= intensity * np.clip(rng.normal(1, acting.wobble, len(units)), 0.2, 1.6)
    for name in rng.choice(NUISANCE, acting.nuisance, replace=False):
        for unit, amount in split_sides({name: rng.uniform(0, 0.35)}, units).items():
            weights[index[unit]] += amount * rng.uniform(0.7, 1.3)
    return np.clip(weights, 0, 1)


def simulate_votes(label: str, intensity: float, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Return the votes of ten simulated raters over CLASSES: int [8], sum 10. Low intensity and high `noise` (0 to 1) split the votes."""
    odds = np.array([CONFUSED[label].get(name, 0.15) for name in CLASSES], float)
    if label in CLASSES:
        odds[CLASSES.index(label)] = 0
    miss = np.clip(noise + 0.45 * (1 - intensity) * (label != "neutral"), 0.02, 0.9) if label in CLASSES else 1.0
    chances = miss * odds / odds.sum()
    if label in CLASSES:
        chances[CLASSES.index(label)] += 1 - miss
    return rng.multinomial(10, chances / chances.sum())


def simulate_affect(label: str, intensity: float, rng: np.random.Generator) -> tuple[float, float]:
    """Return valence and arousal, each -1 to 1.

    They are the expression's point on Russell's circumplex, shrunk towards neutral by low intensity, plus a rater's noise.
    """
    valence, arousal = np.clip(np.array(AFFECT[label]) * (0.35 + 0.65 * intensity) + rng.normal(0, 0.08, 2), -1, 1)
    return round(float(valence), 3), round(float(arousal), 3)
