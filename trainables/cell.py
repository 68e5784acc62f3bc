"""Cell: one training as plain data. Its key identifies its result everywhere and permanently."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

from trainables.data.source import Source, SourceUnion, restore_source

Value = str | int | float | bool | None
PERSON_METADATA = ("subject", "sex", "age", "ethnicity", "mouth_open", "data_set")
"""What a result keeps of the persons on the test images, if a data set knows it, and the data set where a role has several. Reports break
results down by it."""


@dataclass(frozen=True)
class Data:
    """The data set in one role of a study, or the union of several: its source, and its content when the grid was made."""

    source: Source | SourceUnion
    fingerprint: str
    title: str
    notes: tuple[str, ...] = ()
    """What its reader dropped, and why. Reports show it; it affects no number."""
    classes: tuple[str, ...] = ()
    """The classes that have an image; empty: unknown. The task's settings name those that are trained."""


@dataclass(frozen=True)
class Cell:
    """One training with all its settings. Nothing outside the cell decides a number of its result.

    `axes` is its point of the grid. `task` and `method` are registered names; their settings include every default. `version` is the
    method's version, which is raised when the method's numbers change.
    """

    study: str
    scale: str
    axes: dict[str, Value]
    task: str
    task_settings: dict[str, Any]
    method: str
    method_settings: dict[str, Any]
    version: int
    data: dict[str, Data]
    parent: str | None = None
    """Key of the cell whose checkpoint this one starts from."""

    @property
    def seed(self) -> int:
        return int(self.axes["seed"])  # type: ignore[arg-type]

    @cached_property
    def key(self) -> str:
        """Hash of everything that decides the numbers. Data sets enter by content, not by path, so a moved copy keeps its results."""
        content = self._get_fields() | {"data": {role: data.fingerprint for role, data in self.data.items()}}
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:20]

    @property
    def name(self) -> str:
        """Readable name in path form: `SC(c)/split=0.5/ratio=5/seed=3`. The first axis appears by its value alone."""
        first, *rest = self.axes.items()
        return "/".join([str(first[1]), *(f"{axis}={value}" for axis, value in rest)])

    def to_json(self) -> dict[str, Any]:
        """Return plain containers. They are shared with the cell and must not be changed."""
        return self._get_fields() | {
            "data": {role: _make_plain(data) for role, data in self.data.items()},
            "key": self.key,
            "name": self.name,
        }

    def _get_fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # `asdict` copies everything and takes ten times as long

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Cell":
        arguments = {name: value for name, value in content.items() if name not in ("key", "name", "about", "digest")}
        arguments["data"] = {}
        for role, data in content["data"].items():
            lists = {name: tuple(data.get(name, ())) for name in ("notes", "classes")}
            arguments["data"][role] = Data(restore_source(data["source"]), data["fingerprint"], data["title"], **lists)
        return cls(**arguments)


@lru_cache(maxsize=256)
def _make_plain(data: Data) -> dict[str, Any]:
    """Return plain containers, the same object for all cells that use this data set."""
    return asdict(data)
