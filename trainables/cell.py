"""Cell: one training, as data. Its key names its result everywhere and for ever."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

from trainables.data.source import Source

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Data:
    """What one role of a study is played by: where it lies, and what it held when the grid was made."""

    source: Source
    fingerprint: str
    title: str
    notes: tuple[str, ...] = ()
    """what its reader dropped, and why: for the reader of a report, of no effect on a number"""


@dataclass(frozen=True)
class Cell:
    """One training, fully resolved: nothing outside it decides a number of its result.

    `axes` says which point of the grid it is; `task` and `method` are registered names with their settings, every default written out;
    `version` is the method's, raised when its numbers change.
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
    """key of the cell whose checkpoint this one starts from"""

    @property
    def seed(self) -> int:
        return int(self.axes["seed"])  # type: ignore[arg-type]

    @cached_property
    def key(self) -> str:
        """Hash of all that decides the numbers: data sets by content, not by place, so a moved copy keeps its results."""
        content = self._get_fields() | {"data": {role: data.fingerprint for role, data in self.data.items()}}
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:20]

    @property
    def name(self) -> str:
        """Path-like and readable: `SC(c)/split=0.5/ratio=5/seed=3`; the first axis stands for itself."""
        first, *rest = self.axes.items()
        return "/".join([str(first[1]), *(f"{axis}={value}" for axis, value in rest)])

    def to_json(self) -> dict[str, Any]:
        """Plain containers, which it shares with the cell: to be read."""
        return self._get_fields() | {
            "data": {role: _make_plain(data) for role, data in self.data.items()},
            "key": self.key,
            "name": self.name,
        }

    def _get_fields(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # `asdict` copies everything, ten times as slowly

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Cell":
        fields = {name: value for name, value in content.items() if name not in ("key", "name", "digest")}
        fields["data"] = {}
        for role, data in content["data"].items():
            source = Source(**data["source"] | {"options": tuple(map(tuple, data["source"]["options"]))})
            fields["data"][role] = Data(source, data["fingerprint"], data["title"], tuple(data.get("notes", ())))
        return cls(**fields)


@lru_cache(maxsize=256)
def _make_plain(data: Data) -> dict[str, Any]:
    """One for all the cells that it plays a role of."""
    return asdict(data)
