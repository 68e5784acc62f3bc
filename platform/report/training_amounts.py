"""How much each method trained: optimiser steps and images seen, phase by phase. Methods that train unequally long compare unfairly."""

from typing import NamedTuple

from platform.report.runs_table import Runs
from platform.terminal.progress import format_range

STEPS, IMAGES = "steps/", "images/"
"""beginnings of the names of a run table's columns; a phase's name follows"""


class TrainingAmount(NamedTuple):
    """The least and the most that an arm's finished trainings trained in one phase."""

    arm: str
    phase: str
    steps: tuple[int, int]
    images: tuple[int, int]
    """images seen, all views counted"""

    @property
    def steps_text(self) -> str:
        return format_range(self.steps)

    @property
    def images_text(self) -> str:
        return format_range(self.images)


def list_training_amounts(runs: Runs) -> list[TrainingAmount]:
    """Return what each arm's finished trainings trained, by arm and phase; empty for runs that do not say it."""
    phases = [str(name).removeprefix(STEPS) for name in runs.table if str(name).startswith(STEPS)]
    amounts = []
    for arm in runs.arms:
        done = runs.table[(runs.table[runs.design.compared].astype(str) == arm) & (runs.table["state"] == "done")]
        for phase in phases:
            steps, images = (done[kind + phase].dropna().astype(int) for kind in (STEPS, IMAGES))
            if len(steps):
                amounts.append(TrainingAmount(arm, phase, (int(steps.min()), int(steps.max())), (int(images.min()), int(images.max()))))
    return amounts
