"""A person's age, morphology and colouring, drawn once per subject."""

from dataclasses import dataclass

import numpy as np

from trainables.data.render.mesh import AGES, ETHNICITIES, WEIGHTS, Head, combine_shapes, face_axes

AGE_KNOTS = (0.5, 10.0, 21.0, 80.0)
"""Years at which a face is exactly MakeHuman's baby, child, young and old; linear in between."""

SKIN = np.array([(0.40, 0.26, 0.20), (0.87, 0.69, 0.55), (0.92, 0.75, 0.67)])
HAIR = np.array([(0.05, 0.04, 0.04), (0.16, 0.10, 0.07), (0.34, 0.22, 0.13), (0.70, 0.55, 0.34), (0.48, 0.22, 0.11)])
HAIR_ODDS = np.array([(0.90, 0.10, 0, 0, 0), (0.85, 0.15, 0, 0, 0), (0.10, 0.30, 0.30, 0.22, 0.08)])
IRIS = np.array([(0.20, 0.12, 0.07), (0.33, 0.22, 0.11), (0.30, 0.40, 0.24), (0.30, 0.45, 0.60)])
IRIS_ODDS = np.array([(0.95, 0.05, 0, 0), (0.92, 0.08, 0, 0), (0.25, 0.30, 0.15, 0.30)])


@dataclass(frozen=True)
class Person:
    subject: str
    sex: str
    """F or M"""
    age: float
    """Years."""
    shares: np.ndarray
    """float [3], the mix of ETHNICITIES"""
    shape: np.ndarray
    """float32 [v, 3], the neutral face, centred between the eyes"""
    scale: float
    """Distance from the eyes' midpoint to the chin (decimetres): the unit of framing and of expression amplitude."""
    skin: np.ndarray
    hair: np.ndarray
    iris: np.ndarray
    lips: np.ndarray
    shirt: np.ndarray
    hairline: float
    """Decimetres by which the hairline is moved up."""
    hair_volume: float
    """Decimetres; 0 is a shaved head."""
    long_hair: bool
    fringe: float
    """Decimetres by which the hair falls over the forehead."""
    brow: float
    """Thickness and darkness of the brows, about 1."""
    stubble: float
    """0 to 1"""
    blotch: np.ndarray
    """float [4, 3], phases of the skin's irregularities"""

    @property
    def ethnicity(self) -> str:
        return ETHNICITIES[int(self.shares.argmax())]


def weigh_ages(age: float) -> dict[str, float]:
    """Return the weights of MakeHuman's baby, child, young and old in a face of that age; they sum to 1."""
    return {name: float(np.interp(age, AGE_KNOTS, np.eye(4)[k])) for k, name in enumerate(AGES)}


def morph_face(head: Head, sex: str, age: float, shares: np.ndarray, weight: float, rng: np.random.Generator) -> np.ndarray:
    """Return a neutral face [v, 3]: macro targets blended by sex, age, ethnicity and weight (-1 to 1), plus jitter on every axis."""
    sex = {"F": "female", "M": "male"}[sex]
    parts = {WEIGHTS[0]: max(-weight, 0), WEIGHTS[1]: 1 - abs(weight), WEIGHTS[2]: max(weight, 0)}
    blend = np.zeros(len(head.targets), np.float32)
    for name, amount in weigh_ages(age).items():
        for share, ethnicity in zip(shares, ETHNICITIES, strict=True):
            blend[head.names[f"{ethnicity}-{sex}-{name}"]] = amount * share
        for build, part in parts.items():
            blend[head.names[f"universal-{sex}-{name}-averagemuscle-{build}"]] = amount * part
    for positive, negative in face_axes(head.names):
        value = rng.normal(0, 0.1 if age < 16 else 0.16)
        for target in positive if value > 0 else negative:
            blend[head.names[target]] = abs(value) * rng.uniform(0.85, 1.15)  # left and right differ slightly
    result: np.ndarray = head.rest + combine_shapes(blend, head.targets)
    return result


def draw_person(head: Head, subject: str, ages: tuple[float, float], rng: np.random.Generator) -> Person:
    """Draw a new person with an age (years) in `ages`. Every property comes from `rng`."""
    sex = "FM"[rng.integers(2)]
    age = rng.uniform(*ages)
    shares = rng.dirichlet((0.35, 0.35, 0.45))
    adult = age >= 16
    shape = morph_face(head, sex, age, shares, float(np.clip(rng.normal(0, 0.4), -1, 1)), rng)
    shape -= shape[head.part_of_vertex("eye")].mean(axis=0)
    front = np.abs(head.rest[:, 0]) < 0.05
    chin = shape[front & (head.rest[:, 2] > 1.2) & (head.rest[:, 1] < 6.3) & (head.rest[:, 1] > 6.1), 1].min()

    skin = np.clip(shares @ SKIN * rng.normal(1, 0.06) + rng.normal(0, 0.012, 3), 0.08, 0.97)
    hair = HAIR[rng.choice(len(HAIR), p=shares @ HAIR_ODDS)] * rng.uniform(0.8, 1.25)
    if not adult:
        hair = hair * 1.15 + 0.02
    grey = np.clip((age - rng.uniform(38, 62)) / 18, 0, 0.9) if adult else 0.0
    hair = hair * (1 - grey) + grey * rng.uniform(0.55, 0.8)
    painted = sex == "F" and adult and rng.random() < 0.35
    reddish = np.array((0.62, 0.16, 0.2)) if painted else np.array((0.72, 0.36, 0.34))
    shaved = adult and sex == "M" and rng.random() < 0.18
    return Person(
        subject=subject,
        sex=sex,
        age=age,
        shares=shares,
        shape=shape.astype(np.float32),
        scale=float(-chin),
        skin=skin,
        hair=np.clip(hair, 0.02, 0.9),
        iris=IRIS[rng.choice(len(IRIS), p=shares @ IRIS_ODDS)] * rng.uniform(0.8, 1.2),
        lips=skin * 0.55 + 0.45 * reddish * skin.mean() ** 0.5,
        shirt=rng.uniform(0.05, 0.95, 3) * 0.7 + 0.3 * rng.uniform(0.05, 0.95),
        hairline=rng.normal(0.0, 0.06) + (max(age - 30, 0) * 0.004 * rng.random() if sex == "M" else 0.0),
        hair_volume=0.0 if shaved else float(rng.uniform(0.04, 0.16)),
        long_hair=bool(rng.random() < (0.65 if sex == "F" else 0.06)),
        fringe=float(rng.uniform(0, 0.28)) if rng.random() < (0.5 if age < 12 else 0.3) else 0.0,
        brow=float(np.clip(rng.normal(1.0 if adult else 0.75, 0.18) * (1.12 if sex == "M" else 0.95), 0.4, 1.6)),
        stubble=float(rng.beta(0.7, 1.2)) if adult and sex == "M" else 0.0,
        blotch=rng.uniform(0, 2 * np.pi, (4, 3)),
    )
