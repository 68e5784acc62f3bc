"""Averages an arm's scores over conditions, seed by seed, so that inference is over seeds as blocks.

Trainings of one seed share its split and its random numbers under all conditions. Their errors are therefore correlated, and a test that
counts each training by itself rejects too often. A seed's mean over all conditions is one number, and the means of different seeds are
independent.
"""

from collections.abc import Sequence
from itertools import combinations

from platform.report.runs_table import Condition, Runs, Sample


def pool_samples(samples: Sequence[Sample]) -> Sample:
    """Return the mean over several samples of each replicate that all of them have.

    Its split is that of all samples together, so that arms are paired where they share the splits of every condition. It is empty, that
    is unknown, if one of them is.
    """
    shared = [replicate for replicate in samples[0].values if all(replicate in sample.values for sample in samples)]
    values = {replicate: sum(sample.values[replicate] / len(samples) for sample in samples) for replicate in shared}
    splits = {}
    for replicate in shared:
        hashes = [sample.splits[replicate] for sample in samples]
        splits[replicate] = " ".join(hashes) if all(hashes) else ""
    return Sample(values, splits)


def count_incomplete(samples: Sequence[Sample]) -> int:
    """Return the number of replicates that some of the samples have and others lack."""
    seen = {replicate for sample in samples for replicate in sample.values}
    return len(seen) - len(pool_samples(samples).values)


def have_own_replicates(samples: Sequence[Sample]) -> bool:
    """Return whether no two samples share a replicate, as in tables where every training has a seed of its own."""
    if len(samples) < 2 or not all(sample.values for sample in samples):
        return False
    return not any(a.values.keys() & b.values.keys() for a, b in combinations(samples, 2))


def group_by_measure(runs: Runs, conditions: Sequence[Condition]) -> dict[str, list[Condition]]:
    """Group conditions by what their metric measures: accuracies, F1 scores and correlations are not averaged with one another.

    The key is the measure's name. It is empty where the study has one measure only.
    """
    groups: dict[str, list[Condition]] = {}
    for condition in conditions:
        names = [measures[condition[axis]] for axis, measures in runs.design.measures.items() if condition.get(axis) in measures]
        groups.setdefault(", ".join(names), []).append(condition)
    return groups
