"""Trials: cells grouped into packs, packs into trials, and the trials of blocks one after another. It knows neither Ray nor Tune."""

import json
import math
from collections import deque
from collections.abc import Callable

from trainables.cell import Cell

Trial = list[list[Cell]]
"""packs of cells"""
TRIALS = 100
"""maximum number of trials: Tune's own work and memory grow with the trials, so a larger grid has more packs per trial"""
BLOCK_TRIALS = 16
"""the same of a block, unless more slots are to be kept busy"""
ACTORS = 32
"""maximum number of concurrent trial actors: each is a process on the head, and on a large cluster posts the packs of several slots"""


def group_packs(cells: list[Cell], most: int) -> list[list[Cell]]:
    """Group cells that differ only in their seed into packs of at most `most` cells.

    The packs are in the order of their first cells.
    """
    packs_by_kind: dict[str, list[list[Cell]]] = {}
    packs = []
    for cell in cells:
        kind = repr((cell.method, cell.method_settings, cell.task_settings, cell.data, bool(cell.parent)))
        kind_packs = packs_by_kind.setdefault(kind, [])
        if not kind_packs or len(kind_packs[-1]) == most:
            kind_packs.append([])
            packs.append(kind_packs[-1])
        kind_packs[-1].append(cell)
    return packs


def group_trials(packs: list[list[Cell]], slots: int, spare: int = 1, most: int = TRIALS) -> tuple[list[Trial], int]:
    """Group packs into at most `most` trials. Return the trials, and how many concurrent trials keep `slots` slots busy.

    Each slot has `spare` packs ready. A trial has one pack where that suffices.
    """
    at_once = max(1, min(slots, ACTORS, len(packs)))
    packs_per_trial = max(math.ceil(len(packs) / most), min(math.ceil(slots * spare / at_once), math.ceil(len(packs) / at_once)))
    trials = [packs[first : first + packs_per_trial] for first in range(0, len(packs), packs_per_trial)]
    return trials, min(at_once, len(trials))


def encode_trial(trial: Trial) -> str:
    """Encode a trial's packs as one string: Tune copies a trial's parameters several times, and a string is never copied."""
    return json.dumps([[cell.to_json() for cell in pack] for pack in trial])


class BlockQueue:
    """The trials of the current block. Calls come from one thread."""

    def __init__(
        self,
        ask: Callable[[], list[Cell] | None],
        group: Callable[[list[Cell]], list[Trial]],
        announce: Callable[[list[str]], None],
    ) -> None:
        """`ask` returns the next block's cells, each after its parent; None at the end. `announce` gets their keys before any trial."""
        self.ask, self.group, self.announce = ask, group, announce
        self.handed: list[str] = []
        """keys of the cells of all blocks so far"""
        self.over = False
        self._waiting: deque[Trial] = deque()
        self._running: set[str] = set()

    def suggest_trial(self, trial: str) -> Trial | None:
        """Return the next trial, an empty one while the last trials of a block run, or None at the end.

        Raises RuntimeError if the next block has nothing but cells that were handed out before: their trials ended without them.
        """
        if not (self._waiting or self._running or self.over):
            self._begin_block()
        if self.over:
            return None
        if not self._waiting:
            return []
        self._running.add(trial)
        return self._waiting.popleft()

    def complete_trial(self, trial: str) -> None:
        self._running.discard(trial)

    def _begin_block(self) -> None:
        cells = self.ask()
        if cells is None:
            self.over = True
            return
        keys = [cell.key for cell in cells]
        if set(keys) <= set(self.handed):
            raise RuntimeError(f"{len(keys)} trainings of a block have not ended")
        self.announce(keys)
        self.handed += keys
        self._waiting.extend(self.group(cells))
