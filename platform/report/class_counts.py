"""The numbers of images that trainings have of each class, as the paper on children's networks draws them."""

from dataclasses import dataclass

from platform.report.descriptive_statistics import list_results
from platform.report.runs_table import Condition, Runs

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class ClassCounts:
    """The images of each class in the parts of one training set's split, by the arms that use it. Means over replicates."""

    arms: list[str]
    classes: list[str]
    counts: dict[str, list[float]]
    """by part, [classes]"""


def count_classes(runs: Runs, condition: Condition) -> list[ClassCounts]:
    """Return the numbers at a condition, once for each set that arms are trained on. Empty if the results have none."""
    by_set: dict[str, ClassCounts] = {}
    for arm in runs.arms:
        results = [result for result in list_results(runs, condition, arm) if "counts" in result and "classes" in result]
        if not results or any(result["classes"] != results[0]["classes"] for result in results):
            continue
        classes = results[0]["classes"]
        counts = {
            part: [sum(result["counts"][part][k] for result in results) / len(results) for k in range(len(classes))]
            for part in PARTS
            if all(len(result["counts"].get(part, ())) == len(classes) for result in results)
        }
        by_set.setdefault(repr(counts.get("train", counts)), ClassCounts([], classes, counts)).arms.append(arm)
    return list(by_set.values())
