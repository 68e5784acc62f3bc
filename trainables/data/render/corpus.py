"""The list of the pack's pictures. Each shot has its own random streams, so that the order and number of shots do not matter."""

from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from zlib import crc32

import numpy as np
from PIL import Image

from trainables.data.dataset import CLASSES
from trainables.data.render import expressions, mesh, people, scene, shade
from trainables.data.render.faces_archive import EDGES, EMOREACT, REGIONS

SEED = 2026
QUALITY = 87
SEVEN = tuple(name for name in CLASSES if name != "contempt")
AGES = {"child": (2.0, 8.99), "adult": (20.0, 70.99), "guest": (4.0, 12.99)}
CLIPS, FRAMES = 120, 8
NATURAL = dict(zip(CLASSES, (0.08, 0.04, 0.05, 0.07, 0.3, 0.28, 0.1, 0.08), strict=True))
"""Relative frequency of each expression among the unlabelled faces."""


@dataclass(frozen=True)
class Shot:
    name: str
    """Domain and number, such as children/17. It also names the shot's random streams."""
    domain: str
    subject: str
    ages: str
    acting: str
    camera: str
    label: str
    second: str = ""
    """A clip's second label."""
    frame: int = 0


def make_stream(name: str) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([SEED, crc32(name.encode())]))


def plan_balanced(domain: str, prefix: str, subjects: int, counts: dict[str, int], ages: str, style: str) -> list[Shot]:
    """Plan `counts` pictures of each expression. Subjects take turns, so that everyone shows nearly every expression."""
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [Shot(f"{domain}/{k}", domain, f"{prefix}{k % subjects:03d}", ages, style, style, label) for k, label in enumerate(labels)]


def plan_unlabelled(subjects: int, count: int) -> list[Shot]:
    """Plan children and adults in turn, with the same camera and with natural proportions of expressions."""
    labels = make_stream("unlabelled").choice(CLASSES, size=count, p=list(NATURAL.values()))
    kinds = (("child", "children"), ("adult", "wild"))
    return [
        Shot(f"unlabelled/{k}", "unlabelled", f"U{k % subjects:03d}", kinds[k % 2][0], kinds[k % 2][1], "wild", str(label))
        for k, label in enumerate(labels)
    ]


def plan_clips(subjects: int) -> list[Shot]:
    """Plan CLIPS clips of FRAMES frames each. A clip has a second label with probability 1/3."""
    shots = []
    for clip in range(CLIPS):
        label = EMOREACT[clip % len(EMOREACT)]
        rng = make_stream(f"clips/{clip}/labels")
        second = str(rng.choice([name for name in EMOREACT if name != label])) if rng.random() < 1 / 3 else ""
        shots += [
            Shot(f"clips/{clip}/{frame}", "clips", f"R{clip % subjects:03d}", "guest", "children", "game", label, second, frame)
            for frame in range(FRAMES)
        ]
    return shots


def plan_pictures() -> list[Shot]:
    """Plan every picture of the pack, in the pack's order."""
    return [
        *plan_balanced("children", "C", 172, dict.fromkeys(SEVEN, 160) | {"contempt": 130, "anxiety": 126}, "child", "children"),
        *plan_balanced("adults/posed", "P", 60, dict.fromkeys(SEVEN, 156) | {"contempt": 120}, "adult", "posed"),
        *plan_balanced("adults/wild", "W", 120, dict.fromkeys(SEVEN, 150) | {"contempt": 120, "anxiety": 90}, "adult", "wild"),
        *plan_balanced("adults/game", "G", 60, dict.fromkeys(SEVEN, 156) | {"contempt": 120}, "adult", "game"),
        *plan_unlabelled(300, 3000),
        *plan_clips(40),
    ]


@lru_cache(maxsize=512)
def make_person(subject: str, ages: str) -> people.Person:
    return people.draw_person(mesh.load_head(), subject, AGES[ages], make_stream(f"person/{subject}"))


def perform_shot(shot: Shot) -> tuple[np.ndarray, float, float, float]:
    """Return facial units [u], intensity, valence and arousal.

    Those of a clip come from the clip's own stream. Units and intensity rise and fall over its frames.
    """
    units, acting = mesh.load_head().unit_names, expressions.ACTING[shot.acting]
    clip = shot.domain == "clips"
    rng = make_stream(f"{shot.name.rpartition('/')[0] if clip else shot.name}/face")
    intensity = rng.uniform(*acting.intensity)
    weights = expressions.perform_expression(shot.label, intensity, acting, units, rng)
    if shot.second:
        weights = np.clip(0.75 * weights + 0.6 * expressions.perform_expression(shot.second, intensity, acting, units, rng), 0, 1)
    if clip:  # onset, apex and offset of the expression
        apex, width = rng.uniform(2.5, 6), rng.uniform(1.8, 3.5)
        height = 0.1 + 0.9 * np.exp(-(((shot.frame - apex) / width) ** 2))
        weights, intensity = weights * height, intensity * height
    valence, arousal = expressions.simulate_affect(shot.label, intensity, rng)
    return weights, intensity, valence, arousal


def make_view(shot: Shot) -> scene.Scene:
    """Return the scene of a shot. Within a clip only the head turns."""
    if shot.domain != "clips":
        return scene.draw_scene(scene.CAMERAS[shot.camera], make_stream(f"{shot.name}/scene"))
    clip = shot.name.rpartition("/")[0]
    clip_scene = scene.draw_scene(scene.CAMERAS[shot.camera], make_stream(f"{clip}/scene"))
    yaw, pitch, roll = make_stream(f"{clip}/motion").normal(0, 1.5, (FRAMES, 3)).cumsum(axis=0)[shot.frame]
    return replace(clip_scene, yaw=clip_scene.yaw + yaw, pitch=clip_scene.pitch + pitch, roll=clip_scene.roll + roll)


def render_shot(shot: Shot) -> tuple[bytes, dict[str, object]]:
    """Return a shot as a WebP file, and its row of metadata."""
    person, view = make_person(shot.subject, shot.ages), make_view(shot)
    weights, intensity, valence, arousal = perform_shot(shot)
    picture = shade.render_picture(mesh.load_head(), person, weights, view, make_stream(f"{shot.name}/grain"))
    votes = expressions.simulate_votes(
        shot.label, intensity, expressions.ACTING[shot.acting].rater_noise, make_stream(f"{shot.name}/votes")
    )
    encoded = BytesIO()
    Image.fromarray(picture.image).save(encoded, "WEBP", quality=QUALITY, method=6)
    units = dict(zip(mesh.load_head().unit_names, weights, strict=True))
    metadata: dict[str, object] = {
        "name": shot.name,
        "domain": shot.domain,
        "subject": person.subject,
        "sex": person.sex,
        "age": int(person.age),
        "ethnicity": person.ethnicity,
        **{name: round(float(share), 2) for name, share in zip(mesh.ETHNICITIES, person.shares, strict=True)},
        "label": shot.label,
        "intensity": round(float(intensity), 2),
        "mouth_open": int(units["jawOpen"] > 0.12),
        "style": shot.camera,
        "yaw": round(view.yaw, 1),
        "pitch": round(view.pitch, 1),
        "roll": round(view.roll, 1),
        "valence": valence,
        "arousal": arousal,
        **{f"votes_{name}": int(n) for name, n in zip(CLASSES, votes, strict=True)},
        **{f"{region}_{edge}": int(picture.regions[k, j]) for k, region in enumerate(REGIONS) for j, edge in enumerate(EDGES)},
        **{f"au_{name}": round(100 * float(weight)) for name, weight in units.items()},
    }
    if shot.domain == "clips":
        metadata |= {"clip": int(shot.name.split("/")[1]), "frame": shot.frame}
        metadata |= {f"emoreact_{name}": int(name in (shot.label, shot.second)) for name in EMOREACT}
    return encoded.getvalue(), metadata
