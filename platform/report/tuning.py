"""Which arms train with settings that a search found: a comparison of a tuned arm with an untuned one is marked."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from platform.report.runs_table import Condition, Runs, format_condition
from search_spaces.search_space import TunedSettings
from trainables.cell import Cell
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder

FILE = "tuned.json"
"""in the run folder: the settings found with which its grid was made"""
UNEQUAL = "unequal tuning"
TUNED = "tuned"
"""column of a table of runs: whether a training's settings were found by a search"""


def write_tuned(folder: RunFolder, found: Sequence[TunedSettings]) -> None:
    """Store the found settings of a grid; remove those of an earlier grid."""
    if found:
        folder.put_json({"tuned": [asdict(settings) for settings in found]}, FILE)
    else:
        folder.remove(FILE)


def read_tuned(folder: RunFolder) -> list[TunedSettings]:
    try:
        content = folder.get_json(FILE) or {"tuned": []}
        return [TunedSettings(tuple(entry["arms"]), entry["condition"], entry["settings"]) for entry in content["tuned"]]
    except (ValueError, KeyError, TypeError) as error:
        path = folder.get_path(FILE)
        raise BadRequest(
            f"{path}: is damaged ({type(error).__name__}: {error}); the same python -m platform.grid writes it again"
        ) from None


def is_tuned(found: Iterable[TunedSettings], arm: str, cell: Cell) -> bool:
    return any(settings.applies_to(arm, cell.axes) for settings in found)


def note_unequal_tuning(runs: Runs, a: str, b: str, condition: Condition) -> str:
    """Return a phrase if, under a condition or under some that it stands for, one of two arms was tuned and the other was not."""
    if TUNED not in runs.table:
        return ""
    for each in (full for full in runs.conditions if condition.items() <= full.items()):
        tuned = [_has_tuned(runs, arm, each) for arm in (a, b)]
        if None not in tuned and tuned[0] != tuned[1]:
            first, second = (a, b) if tuned[0] else (b, a)
            return f"{UNEQUAL}: settings of {first} were searched, those of {second} were not"
    return ""


def describe_tuning(runs: Runs) -> list[str]:
    """Return a sentence for each group of conditions under which some arms were tuned and others were not."""
    if TUNED not in runs.table:
        return []
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Condition]] = {}
    for condition in runs.conditions:
        tuned: dict[bool | None, list[str]] = {}
        for arm in runs.arms:
            tuned.setdefault(_has_tuned(runs, arm, condition), []).append(arm)
        if True in tuned and False in tuned:
            groups.setdefault((tuple(tuned[True]), tuple(tuned[False])), []).append(condition)
    return [
        f"Unequal tuning{_describe_conditions(runs, conditions)}: a search found the settings of {', '.join(found)}; "
        f"{', '.join(others)} {'use' if len(others) > 1 else 'uses'} the study's own. Comparisons between the two are marked."
        for (found, others), conditions in groups.items()
    ]


def _has_tuned(runs: Runs, arm: str, condition: Condition) -> bool | None:
    """Return whether the arm's trainings at a condition are tuned; None: there are none."""
    rows = runs.find_rows(arm, condition)
    return bool(runs.table[TUNED].iloc[rows[0]]) if rows else None


def _describe_conditions(runs: Runs, conditions: Sequence[Condition]) -> str:
    if len(conditions) == len(runs.conditions):
        return ""
    return f" under {'; '.join(format_condition(condition) for condition in conditions)}"


def count_tuned(runs: Runs, rows: Iterable[int]) -> set[bool]:
    """Return whether the trainings in these rows of the table are tuned: one value, or both."""
    if TUNED not in runs.table:
        return set()
    return {bool(runs.table[TUNED].iloc[row]) for row in rows}
