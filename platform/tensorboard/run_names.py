"""Names of TensorBoard runs: trainings of equal axes and other settings never share one."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from trainables.cell import Cell, Value
from trainables.setting_texts import list_differences, list_settings
from trainables.storage.store import RunFolder

OWNER = "training.txt"
"""in a run's folder: the key of the training whose curves it holds"""
MOST = 3
"""differences that a name tells; a training with more of them is named by a hash of its settings"""


class RunNames:
    """The names of a run folder's curves. The first trainings of a condition keep its name; others add to it what is different in them.

    All replicates of a condition have one kind of name, also where only some of them meet an earlier training.
    """

    def __init__(self, folder: RunFolder, replicated: str, replicates: Sequence[Value]) -> None:
        self.folder, self.replicated, self.replicates = folder, replicated, replicates
        self._variants: dict[str, str] = {}

    def get_variant(self, cell: Cell, name: Callable[[Cell], str]) -> str:
        """Return what is different in a training from the one whose name it would have; empty if the name is free or its own.

        `name` returns a training's name by its axes.
        """
        condition = repr({axis: value for axis, value in cell.axes.items() if axis != self.replicated})
        if condition not in self._variants:
            values = dict.fromkeys((*self.replicates, cell.axes[self.replicated]))
            names = [name(replace(cell, axes=cell.axes | {self.replicated: value})) for value in values]
            owners = (self._read_owner(each) for each in names)
            self._variants[condition] = self._describe_variant(cell, next(filter(None, owners), cell.key))
        return self._variants[condition]

    def claim(self, cell: Cell, path: Path) -> None:
        """Record in an existing folder that it holds the training's curves."""
        if not (path / OWNER).exists():
            (path / OWNER).write_text(cell.key)

    def _read_owner(self, name: str) -> str:
        try:
            return Path(self.folder.get_path("tb", name, OWNER)).read_text()
        except FileNotFoundError:
            return ""

    def _describe_variant(self, cell: Cell, owner: str) -> str:
        if owner == cell.key:
            return ""
        try:
            other = Cell.from_json(self.folder.get_json("cells", owner, "cell.json"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cell.key[:8]
        names, texts = list_differences(cell, other), dict(list_settings(cell))
        if not names:
            return ""
        if len(names) > MOST or any(name not in texts for name in names):
            digest = hashlib.sha256(repr((sorted(texts.items()), cell.version, sorted(d.fingerprint for d in cell.data.values()))).encode())
            return digest.hexdigest()[:8]
        return ",".join(f"{name}={texts[name]}" for name in names).replace("/", "_")
