"""Study: a question as data: axes, arms, settings, what plays its roles, and the numbers its text reports."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any, Literal

from search_spaces.claims import Claim, Confusion, Contrast, PriorModel, Published, ReportedScore
from search_spaces.space import Search, TunedSettings
from trainables.cell import Cell, Data, Value
from trainables.data.source import Source
from trainables.registry import BadRequest, Registry, make_unknown_error
from trainables.settings import Settings, resolve_settings

Scale = Literal["pocket", "paper"]
Known = dict[tuple[str, str], tuple[Any, dict[str, Any]]]
"""settings made before, by what they are of and what they were made from"""


@dataclass(frozen=True)
class Arm:
    """One value of the compared axis: a registered method and what sets it apart.

    An arm that is none of the axis' values is only a step on the way: it is trained where it is a parent, and never compared.
    """

    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    parent: str | None = None
    """the arm whose cell at the same point of the grid this one's training starts from; {AXIS} in it stands for the axis' value there"""
    fixed: dict[str, Value] = field(default_factory=dict)
    """of a parent: values of axes at which it is trained once for all its children, such as {"seed": 0}"""
    task: str | None = None
    """where it learns something else than the study's task: what"""


@dataclass(frozen=True)
class Study:
    """Axes in order; one is compared, one replicated, the others are conditions, whatever they are called.

    An axis that is neither sets the task's or the method's setting of its name, or those that `meanings` gives. Report and TensorBoard
    follow from these declarations.
    """

    name: str
    scale: Scale
    title: str
    source: str
    """the text it reproduces"""
    axes: dict[str, tuple[Value, ...]]
    arms: dict[str, Arm]
    """by value of the compared axis; others are parents of these"""
    task: str
    roles: dict[str, Source]
    """what plays each role unless the user names other data"""
    settings: dict[str, Any] = field(default_factory=dict)
    """of task and methods, where they differ from the defaults; dots reach into one, as in encoder_settings.stem"""
    meanings: dict[str, dict[Value, dict[str, Any]]] = field(default_factory=dict)
    """by axis, and by value of it: the settings that it stands for, such as the data sets and classes of a scenario"""
    compared: str = "method"
    replicated: str = "seed"
    largest: str | None = None
    """the condition along which curves are drawn; where it is a number, the text's table is read at its largest value"""
    metric: str = "accuracy"
    """what the report compares: test/METRIC at the epoch that val/METRIC picked; a share, shown in percent"""
    rope: float = 0.01
    """a difference of the metric too small to matter: arms that surely differ by less are equivalent"""
    baseline: str | None = None
    """the arm that the others are held against; without one the best's opponent is its runner-up"""
    published: tuple[Published, ...] = ()
    claims: tuple[Claim, ...] = ()
    one_validation: bool = True
    """every arm is validated on the same images, so that validation may pick the winner; else the report picks none by it"""
    printed: tuple[ReportedScore, ...] = ()
    """scores that are no row of best and runner-up"""
    contrasts: tuple[Contrast, ...] = ()
    """pairs of arms that are one family of tests over all conditions"""
    models: tuple[PriorModel, ...] = ()
    """of other texts, to stand beside"""
    defaults: dict[tuple[str, ...], dict[tuple[Value, ...], dict[str, Any]]] = field(default_factory=dict)
    """by several axes together, and by values of them: settings that hold there unless another says otherwise, such as the best head of
    each encoder on each data set"""
    search: Search | None = None
    """what `python -m platform.search` tunes"""
    found: tuple[TunedSettings, ...] = ()
    """what such a search found, in place of an arm's own settings"""
    confusions: tuple[Confusion, ...] = ()
    """the ones the text names: does a class's error fall there more often than elsewhere?"""
    fewer: str | None = None
    """the condition whose values are numbers of classes, the fewer among the more: is leaving some out a gain?"""

    @property
    def condition_axes(self) -> dict[str, tuple[Value, ...]]:
        """The axes that are neither compared nor replicated."""
        return {axis: values for axis, values in self.axes.items() if axis not in (self.compared, self.replicated)}

    def narrow_axis(self, axis: str, wanted: list[str]) -> "Study":
        """Only these values of an axis, written as a person types them."""
        if axis not in self.axes:
            raise make_unknown_error(f"axis of {self.name}", axis, self.axes)
        values = tuple(_match_value(axis, self.axes[axis], text) for text in wanted)
        return replace(self, axes=self.axes | {axis: tuple(value for value in self.axes[axis] if value in values)})

    def with_seeds(self, number: int) -> "Study":
        if number < 1:
            raise BadRequest(f"--seeds {number}: at least one")
        return replace(self, axes=self.axes | {self.replicated: tuple(range(number))})

    def with_setting(self, name: str, value: Any) -> "Study":
        if name in self.axes:
            raise BadRequest(f"{name} is an axis of {self.name}: choose among its values with --only {name}=...")
        apart = {self.compared: [arm.settings for value, arm in self.arms.items() if value in self.axes[self.compared]]}
        apart |= {axis: list(values.values()) for axis, values in self.meanings.items()}
        for axis, meanings in apart.items():
            if any(name.split(".")[0] in settings for settings in meanings):
                raise BadRequest(f"{name} is what sets the values of {axis} apart; choose among them with --only {axis}=...")
        from trainables.data.task import TASKS  # here, for a report reads studies, and needs no PyTorch
        from trainables.methods.method import METHODS

        known = set(TASKS.find(self.task).settings.model_fields)
        for arm in self.arms.values():
            known.update(METHODS.find(arm.method).Settings.model_fields, TASKS.find(arm.task or self.task).settings.model_fields)
        if name.split(".")[0] not in known:
            raise make_unknown_error(f"setting of {self.name}", name, known - set(self.axes))
        return replace(self, settings=self.settings | {name: value})

    def make_cells(self, data: dict[str, Data]) -> list[Cell]:
        """Every cell, one replicate of everything first, and of it those without parents, so that none holds a slot while it waits for one.

        BadRequest where a setting does not fit.
        """
        found: dict[str, Cell] = {}
        known: Known = {}
        for replicate in self.axes[self.replicated]:
            values = itertools.product(*((replicate,) if axis == self.replicated else self.axes[axis] for axis in self.axes))
            lines = [self._make_ancestry(dict(zip(self.axes, point, strict=True)), data, known) for point in values]
            for generation in itertools.zip_longest(*lines):
                found |= {cell.key: cell for cell in generation if cell and cell.key not in found}
        return list(found.values())

    def is_prerequisite(self, cell: Cell) -> bool:
        """It lies at no point of this grid: it is trained for its children alone."""
        return any(value not in self.axes[axis] for axis, value in cell.axes.items())

    def _make_ancestry(self, point: dict[str, Value], data: dict[str, Data], known: Known, children: tuple[str, ...] = ()) -> list[Cell]:
        """The cell of a point, behind its parent and its parent's parents."""
        name = str(point[self.compared])
        if (parent := self.arms[name].parent) is None:
            return [self._make_cell(point, data, known)]
        parent = parent.format(**point)
        if parent not in self.arms:
            raise make_unknown_error(f"parent of {name} in {self.name}", parent, self.arms)
        if parent in (name, *children):
            raise BadRequest(f"{self.name}: the arms {', '.join((*children, name))} are each other's parents; one must have none")
        fixed = self.arms[parent].fixed
        if strange := [axis for axis in fixed if axis not in self.axes]:
            raise make_unknown_error(f"axis of {self.name}, fixed for {parent},", strange[0], self.axes)
        line = self._make_ancestry(point | fixed | {self.compared: parent}, data, known, (*children, name))
        return [*line, replace(self._make_cell(point, data, known), parent=line[-1].key)]

    def _make_cell(self, point: dict[str, Value], data: dict[str, Data], known: Known) -> Cell:
        from trainables.data.task import TASKS
        from trainables.methods.method import METHODS

        arm = self.arms[str(point[self.compared])]
        named = arm.task or self.task
        method, kind = METHODS.find(arm.method), TASKS.find(named)
        task = kind.settings
        meant = {axis: self.meanings[axis][point[axis]] if axis in self.meanings else {axis: point[axis]} for axis in self.condition_axes}
        wanted: dict[str, Any] = {}
        for axes, places in self.defaults.items():
            wanted |= places.get(tuple(point[axis] for axis in axes), {})
        wanted |= self.settings | arm.settings
        for settings in meant.values():
            wanted |= settings
        for found in self.found:
            if found.applies_to(str(point[self.compared]), point):
                for name in found.settings:
                    if name.split(".")[0] not in method.Settings.model_fields:
                        raise make_unknown_error(
                            f"setting of method {arm.method}, searched for {found.arm}:", name, method.Settings.model_fields
                        )
                wanted |= found.settings
        of_task, of_method = _pick_fields(wanted, task.model_fields), _pick_fields(wanted, method.Settings.model_fields)
        for axis, settings in meant.items():
            if lost := [name for name in settings if name.split(".")[0] not in (*of_task, *of_method)]:
                said = f"axis {axis} of {self.name}" if axis not in self.meanings else f"{lost[0]}, set by axis {axis} of {self.name},"
                raise BadRequest(f"{said} is a setting of neither task {named} nor method {arm.method}")
        task_settings, plain = _resolve_settings(task, of_task, f"task {named}", known)
        roles = kind.roles(task_settings) if kind.roles else tuple(data)
        if strange := [role for role in roles if role not in data]:
            raise make_unknown_error(f"role of {self.name}", strange[0], data)
        return Cell(
            study=self.name,
            scale=self.scale,
            axes=point,
            task=named,
            task_settings=plain,
            method=arm.method,
            method_settings=_resolve_settings(method.Settings, of_method, f"method {arm.method}", known)[1],
            version=method.version,
            data={role: data[role] for role in roles},
        )


def _resolve_settings(kind: type[Settings], values: dict[str, Any], what: str, known: Known) -> tuple[Any, dict[str, Any]]:
    """Settings and the same as plain containers, which all the cells of these settings share."""
    name = (what, repr(values))
    if name not in known:
        settings = resolve_settings(kind, values, what)
        known[name] = settings, settings.model_dump(mode="json")
    return known[name]


STUDIES: Registry[Callable[[Scale], Study]] = Registry("study", "search_spaces")


def _pick_fields(wanted: dict[str, Any], fields: Any) -> dict[str, Any]:
    """The values meant for these fields, dotted names folded into nested ones."""
    values: dict[str, Any] = {}
    for name, value in wanted.items():
        first, *rest = name.split(".")
        if first not in fields:
            continue
        if not rest:
            values[first] = value
            continue
        default = values.get(first, fields[first].get_default(call_default_factory=True))
        if not (isinstance(default, dict) or is_dataclass(default)):
            raise BadRequest(f"{name}: {first} has no settings of its own; set it as a whole")
        nested = dict(default) if isinstance(default, dict) else dict(vars(default))
        values[first] = nested | {".".join(rest): value}
    return values


def _match_value(axis: str, values: tuple[Value, ...], text: str) -> Value:
    for value in values:
        if str(value) == text:
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                if float(text) == value:
                    return value
            except ValueError:
                pass
    raise make_unknown_error(f"value of axis {axis}", text, map(str, values))
