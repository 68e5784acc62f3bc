"""Every setting of a run's tasks and methods, and those that differ from the paper's."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from search_spaces.study import STUDIES, Study
from trainables.cell import Cell, Data
from trainables.registry import BadRequest
from trainables.setting_texts import list_settings

Values = dict[str, dict[str, None]]
"""by arm: the texts of a setting's values, in order of appearance"""
QUOTED = (
    *("encoder", "encoder_settings", "optimizer", "lr", "momentum", "nesterov", "weight_decay", "decay", "epochs", "budget", "steps"),
    *("batch", "temperature", "augmentation", "augment", "affine", "size", "colour"),
)
"""settings that the methods of a report name, if the run has them; nested ones with all their parts"""


@dataclass(frozen=True)
class SettingRow:
    """A setting, what it is here, and what it is at the study's paper scale."""

    name: str
    here: str
    paper: str | None
    """None: the study has no such setting there, or is not known"""
    differs: bool


@dataclass(frozen=True)
class SettingsSummary:
    """The settings of a run's trainings."""

    rows: list[SettingRow] = field(default_factory=list)

    @property
    def changed(self) -> list[SettingRow]:
        """The settings that differ from the paper's."""
        return [row for row in self.rows if row.differs]

    @property
    def sentence(self) -> str:
        """The main settings as a sentence that a paper may quote; empty if there are none."""
        named = (row for name in QUOTED for row in self.rows if row.name == name or row.name.startswith(f"{name}."))
        quoted = [row for row in named if row.here != "none"]
        return f"Settings: {'; '.join(f'{row.name} {row.here}' for row in quoted)}." if quoted else ""


def summarise_settings(study: Study, cells: Sequence[Cell]) -> SettingsSummary:
    """Return the settings of these trainings, each with its value at the paper scale of the study of that name, if there is one.

    A training is compared with the paper's of the same arm and condition, or with all of the arm's where the paper has no such condition.
    """
    names = _name_axis_settings(study)
    papers: dict[tuple[Any, ...], dict[str, dict[str, None]]] = {}
    for cell in _make_paper_cells(study):
        for key in (_get_place(study, cell), (str(cell.axes[study.compared]),)):
            values = papers.setdefault(key, {})
            for name, text in list_settings(cell, names):
                values.setdefault(name, {})[text] = None
    here: dict[str, Values] = {}
    paper: dict[str, Values] = {}
    different: set[str] = set()
    for place, cell in {_get_place(study, cell): cell for cell in reversed(cells)}.items():
        known = papers.get(place) or papers.get(place[:1], {})
        for name, text in list_settings(cell, names):
            here.setdefault(name, {}).setdefault(place[0], {})[text] = None
            if name in known:
                paper.setdefault(name, {}).setdefault(place[0], {}).update(known[name])
                if text not in known[name]:
                    different.add(name)
    return SettingsSummary(
        [
            SettingRow(name, _describe_values(values), _describe_values(paper[name]) if name in paper else None, name in different)
            for name, values in here.items()
        ]
    )


def _name_axis_settings(study: Study) -> set[str]:
    """Return the settings that the axes stand for: every table of a report has them as conditions."""
    return set(study.axes) | {name for meanings in study.meanings.values() for settings in meanings.values() for name in settings}


def _get_place(study: Study, cell: Cell) -> tuple[Any, ...]:
    return str(cell.axes[study.compared]), *(cell.axes.get(axis) for axis in study.condition_axes)


def _make_paper_cells(study: Study) -> list[Cell]:
    if study.name not in STUDIES.import_all():
        return []
    paper = STUDIES.find(study.name)("paper").with_seeds(1)
    if paper.compared != study.compared:
        return []
    try:
        cells = paper.make_cells({role: Data(source, "", "") for role, source in paper.roles.items()})
    except BadRequest:
        return []
    return [cell for cell in cells if not paper.is_prerequisite(cell)]


def _describe_values(values: Values) -> str:
    """Return the values as one text: by arm if the arms differ."""
    arms_by_text: dict[str, list[str]] = {}
    for arm, texts in values.items():
        arms_by_text.setdefault(" or ".join(texts), []).append(arm)
    if len(arms_by_text) == 1:
        return next(iter(arms_by_text))
    return ", ".join(f"{text} ({', '.join(arms)})" for text, arms in arms_by_text.items())
