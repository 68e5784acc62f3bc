"""The plan of a grid that adds seeds until its claims are decided. RUN/sequential.json holds it from before the first training."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from platform.stats.sequential_design import SequentialDesign
from search_spaces.claims import Claim
from trainables.cell import Value
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

FILE = "sequential.json"
SPENDING = "2 - 2 Phi(z / sqrt(seeds / most seeds)), z the 1 - alpha / 2 quantile: the O'Brien-Fleming type function of Lan & DeMets (1983)"
EQUIVALENCE = "a claim of equivalence goes on until it is equivalent, or better or worse by more than the margin"
FAILURES = "failed.json"
FAILED = (
    "a training that has failed when its look is made is not repeated, and its seed has no difference for the claims that need it: the "
    "mean leaves it out, the flips count it as 0, and those of equivalence as lying at the margin; a claim without any difference at a "
    "look is given up"
)
UNITS = {"looks": "the looks", "alpha": "alpha", "margin": "the margin", "futility": "the futility bound", "most seeds": "the most seeds"}
"""by key of the file, what a message calls it"""
PLAIN = ("study", "scale", "replicated", "metric", "selector", "axes")
"""the fields of a plan that its file holds as they are"""
SEEDS_AGAIN = "name another folder with --runs"


@dataclass(frozen=True)
class PlannedClaim:
    """A claim of this grid. Its places hold values of axes, and its text names its measure if the study has several."""

    claim: Claim
    conditions: tuple[dict[str, Value], ...]
    """the combinations of the axes that the claim does not fix"""


@dataclass(frozen=True)
class SequentialPlan:
    """Everything that is fixed before the first training."""

    study: str
    scale: str
    replicated: str
    metric: str
    selector: str | None
    axes: dict[str, list[Value]]
    """by axis, its values; without the replicated axis"""
    claims: tuple[PlannedClaim, ...]
    design: SequentialDesign
    trainings: str
    """a hash of the keys of all trainings up to the most seeds, so of their settings and data"""

    @property
    def claims_of_equivalence(self) -> list[int]:
        """The indices of the claims of equivalence. They stay open until equivalence or a difference beyond the margin is shown."""
        return [number for number, planned in enumerate(self.claims) if planned.claim.expect == "equivalent"]

    def to_json(self) -> dict[str, Any]:
        design = self.design
        return {name: getattr(self, name) for name in PLAIN} | {
            "claims": [asdict(planned.claim) | {"conditions": list(planned.conditions)} for planned in self.claims],
            "most seeds": design.most,
            "looks": list(design.looks),
            "spending": SPENDING,
            "alpha": design.alpha,
            "margin": design.margin,
            "futility": design.futility,
            "equivalence": EQUIVALENCE,
            "failed": FAILED,
            "trainings": self.trainings,
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "SequentialPlan":
        claims = []
        for entry in content["claims"]:
            fields = {name: value for name, value in entry.items() if name != "conditions"}
            claims.append(PlannedClaim(Claim(**fields), tuple(entry["conditions"])))
        design = SequentialDesign(tuple(content["looks"]), content["alpha"], content["margin"], content["futility"])
        return cls(**{name: content[name] for name in PLAIN}, claims=tuple(claims), design=design, trainings=content["trainings"])


def read_plan(folder: RunFolder) -> SequentialPlan | None:
    """Return the plan of a run folder; None if it has none. Raises BadRequest if the file is damaged."""
    try:
        content = folder.get_json(FILE, signed=True)
        return None if content is None else SequentialPlan.from_json(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadRequest(f"{folder.get_path(FILE)}: is not a design ({error}); restore it, or {SEEDS_AGAIN}") from None


def check_plan(folder: RunFolder, plan: SequentialPlan) -> bool:
    """Return whether the folder has this plan already. Raises BadRequest if it has another one, or a grid of a fixed number of seeds."""
    if (stored := read_plan(folder)) is not None:
        if changes := list_changes(stored.to_json(), json.loads(json.dumps(plan.to_json()))):
            raise BadRequest(f"{folder.get_path(FILE)}: this run was begun with another design ({'; '.join(changes)}); {SEEDS_AGAIN}")
        return True
    if folder.files.exists(folder.get_path("grid.json")):
        raise BadRequest(f"{folder.uri}: holds a grid of a fixed number of seeds, which --until-decided cannot go on from; {SEEDS_AGAIN}")
    return False


def fix_plan(folder: RunFolder, plan: SequentialPlan) -> None:
    """Write the plan, unless it is there already. Raises BadRequest as `check_plan` does."""
    if not check_plan(folder, plan):
        folder.put_json(plan.to_json(), FILE)


def read_failures(folder: RunFolder) -> set[str]:
    """Return the keys of the trainings that had failed when a look was made. Raises BadRequest if the file is damaged."""
    try:
        return set((folder.get_json(FAILURES, signed=True) or {"keys": []})["keys"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadRequest(
            f"{folder.get_path(FAILURES)}: is not a list of failed trainings ({error}); restore it, or {SEEDS_AGAIN}"
        ) from None


def put_failures(folder: RunFolder, keys: set[str]) -> None:
    folder.put_json({"keys": sorted(keys)}, FAILURES)


def refuse_plan(folder: RunFolder) -> None:
    """Raise BadRequest if seeds are added to this folder until its claims are decided."""
    if folder.files.exists(folder.get_path(FILE)):
        raise BadRequest(f"{folder.uri}: its seeds are added until the claims are decided; go on with --until-decided, or {SEEDS_AGAIN}")


def list_changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return the differences between two designs as phrases. The looks are named only if the most seeds do not explain them."""
    changes = []
    for kind in PLAIN:
        if kind != "axes" and old[kind] != new[kind]:
            changes.append(f"{kind} {old[kind]}, now {new[kind]}")
    for axis in dict.fromkeys([*old["axes"], *new["axes"]]):
        before, now = (design["axes"].get(axis, []) for design in (old, new))
        if before != now:
            changes.append(f"axis {axis} {_list(before)}, now {_list(now)}")
    if not changes:
        changes += _list_claim_changes(old["claims"], new["claims"])
    for key, name in UNITS.items():
        if old[key] != new[key] and (key != "looks" or old["most seeds"] == new["most seeds"]):
            changes.append(f"{name} {_list(old[key])}, now {_list(new[key])}")
    if not changes and old["trainings"] != new["trainings"]:
        changes.append("other settings or data of the trainings: give the --set, --use and --data of its first command")
    return changes or [f"another {key}" for key in new if old.get(key) != new[key]]


def _list_claim_changes(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[str]:
    before, now = ({claim["text"]: claim for claim in claims} for claims in (old, new))
    changes = [f"without the claim {text!r}" for text in before if text not in now]
    changes += [f"with the new claim {text!r}" for text in now if text not in before]
    changes += [f"another meaning of the claim {text!r}" for text in now if text in before and now[text] != before[text]]
    return changes or (["another order of the claims"] if list(before) != list(now) else [])


def _list(values: Any) -> str:
    return ", ".join(map(str, values)) if isinstance(values, Iterable) and not isinstance(values, str) else str(values)
