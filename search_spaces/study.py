"""Study: a research question as data, with its axes, arms, settings, the data of its roles, and the numbers that its paper reports."""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any, Literal, get_args

from search_spaces.claims import Claim, Confusion, Contrast, Published, Reading
from search_spaces.pictures import Pictures
from search_spaces.printed_numbers import PrintedTable
from search_spaces.search_space import Search, TunedSettings
from search_spaces.space_tree import join_elements
from trainables.cell import Cell, Data, Value
from trainables.data.source import Source
from trainables.registry import BadRequest, Registry, make_unknown_error
from trainables.settings import Settings, resolve_settings

Scale = Literal["pocket", "paper"]
Known = dict[tuple[str, str], tuple[Any, dict[str, Any]]]
"""cache of resolved settings, by what they are for and from which values they were made"""


@dataclass(frozen=True)
class Arm:
    """One value of the compared axis: a registered method and the settings that distinguish it.

    An arm that is not a value of the axis is only a prerequisite: it is trained where it is a parent, and never compared.
    """

    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    parent: str | None = None
    """the arm from whose cell at the same point of the grid this arm's training starts; {AXIS} in it is replaced by the axis' value
    there"""
    fixed: dict[str, Value] = field(default_factory=dict)
    """of a parent: values of axes at which it is trained once for all its children, such as {"seed": 0}"""
    task: str | None = None
    """the arm's task, if it is not the study's"""
    text: str = ""
    """what the arm is, in a sentence; help and documentation show it"""


@dataclass(frozen=True)
class Study:
    """A study has ordered axes: one is compared, one is replicated, and all others are conditions, whatever their names.

    A condition axis sets the task's or the method's setting of its name, or the settings that `meanings` gives. Report and TensorBoard
    are derived from these declarations.
    """

    name: str
    scale: Scale
    title: str
    source: str
    """the paper that it reproduces"""
    axes: dict[str, tuple[Value, ...]]
    arms: dict[str, Arm]
    """by value of the compared axis; further arms are parents of these"""
    task: str
    roles: dict[str, Source]
    """the data of each role, unless the user names other data"""
    paper_data: dict[str, str] = field(default_factory=dict)
    """by role: the data set that the paper used"""
    minutes: int | None = None
    """minutes of the pocket scale from the command to the report, on two cores (benchmarks/RESULTS.md); None: not measured"""
    settings: dict[str, Any] = field(default_factory=dict)
    """of task and methods, if they differ from the defaults; dots address nested settings, as in encoder_settings.stem"""
    meanings: dict[str, dict[Value, dict[str, Any]]] = field(default_factory=dict)
    """by axis, and by its value: the settings for which the value stands, such as the data sets and classes of a scenario"""
    compared: str = "method"
    replicated: str = "seed"
    largest: str | None = None
    """the condition along which curves are drawn; if it is numeric, the paper's table is read at its largest value"""
    metric: str = "accuracy"
    """what the report compares: test/METRIC at the epoch selected by val/METRIC; a share, shown in percent"""
    rope: float = 0.01
    """the margin of equivalence: a difference of the metric that is too small to matter"""
    measures: dict[str, dict[Value, str]] = field(default_factory=dict)
    """by condition axis, and by its value: what the metric measures there, if that differs; only equal measures are averaged"""
    baseline: str | None = None
    """the arm with which the others are compared; without it, the best arm is compared with the runner-up"""
    published: tuple[Published, ...] = ()
    claims: tuple[Claim, ...] = ()
    readings: tuple[Reading, ...] = ()
    own: tuple[str, ...] = ("faces",)
    """kinds of data sets that the paper used. A target of one of these kinds is split as in the paper. The setting `by` of any other
    target is `auto`, unless the user sets it."""
    one_validation: bool = True
    """every arm is validated on the same images, so that validation may pick the winner; otherwise the report picks none by validation"""
    printed: tuple[PrintedTable, ...] = ()
    """the paper's tables; a report shows the measured numbers beside theirs"""
    contrasts: tuple[Contrast, ...] = ()
    """pairs of arms that form one family of tests over all conditions"""
    defaults: dict[tuple[str, ...], dict[tuple[Value, ...], dict[str, Any]]] = field(default_factory=dict)
    """by several axes together, and by their values: settings that apply there unless they are set elsewhere, such as the best head of
    each encoder on each data set"""
    searches: tuple[Search, ...] = ()
    """what `python -m platform.search` tunes: one search for an arm and the arms that share its settings"""
    found: tuple[TunedSettings, ...] = ()
    """settings that such a search found, in place of an arm's own"""
    confusions: tuple[Confusion, ...] = ()
    """the confusions that the paper names: do a class's errors fall there more often than elsewhere?"""
    fewer: str | None = None
    """the condition whose values are numbers of classes, the fewer a subset of the more: is leaving some out a gain?"""
    pictures: Pictures = field(default_factory=Pictures)
    """what `python -m platform.explain` draws"""

    @property
    def condition_axes(self) -> dict[str, tuple[Value, ...]]:
        """The axes that are neither compared nor replicated."""
        return {axis: values for axis, values in self.axes.items() if axis not in (self.compared, self.replicated)}

    def narrow_axis(self, axis: str, wanted: list[str]) -> "Study":
        """Keep only these values of an axis, given as a user types them."""
        if axis not in self.axes:
            raise make_unknown_error(f"axis of {self.name}", axis, self.axes)
        values = tuple(match_value(axis, self.axes[axis], text) for text in wanted)
        return replace(self, axes=self.axes | {axis: tuple(value for value in self.axes[axis] if value in values)})

    def with_seeds(self, number: int) -> "Study":
        if number < 1:
            raise BadRequest(f"--seeds {number}: at least one")
        return replace(self, axes=self.axes | {self.replicated: tuple(range(number))})

    def with_setting(self, name: str, value: Any) -> "Study":
        if name in self.axes:
            raise BadRequest(f"{name} is an axis of {self.name}: choose among its values with --only {name}=...")
        distinguishing = {self.compared: [arm.settings for value, arm in self.arms.items() if value in self.axes[self.compared]]}
        distinguishing |= {axis: list(values.values()) for axis, values in self.meanings.items()}
        for axis, meanings in distinguishing.items():
            if any(name.split(".")[0] in settings for settings in meanings):
                raise BadRequest(f"{name} is set by the axis {axis}; choose among its values with --only {axis}=...")
        from trainables.data.task import TASKS  # imported here, since reports read studies and need no PyTorch

        known_names = set(TASKS.find(self.task).settings.model_fields)
        for arm in self.arms.values():
            known_names |= _list_setting_names(arm, self.task)
        if name.split(".")[0] not in known_names:
            raise make_unknown_error(f"setting of {self.name}", name, known_names - set(self.axes))
        return replace(self, settings=_replace_budget(self.settings, name, value) | {name: value})

    def describe_unused_setting(self, name: str) -> str:
        """Return a line if no training of this grid has a setting, because --only leaves out the arms that have it; else nothing."""
        having = [arm for arm, values in self.arms.items() if name.split(".")[0] in _list_setting_names(values, self.task)]
        if not having or self._list_used_arms() & set(having):
            return ""
        return f"{name}: no training of this grid has this setting; it is one of {', '.join(having)}"

    def _list_used_arms(self) -> set[str]:
        """Return the arms of this grid's trainings: the compared ones, and those that they start from."""
        used: set[str] = set()
        left = [str(arm) for arm in self.axes[self.compared]]
        while left:
            if (name := left.pop()) in used:
                continue
            used.add(name)
            if parent := self.arms[name].parent:
                pattern = re.sub(r"\\{\w+\\}", ".*", re.escape(parent))
                left += [arm for arm in self.arms if re.fullmatch(pattern, arm)]
        return used

    def make_cells(self, data: dict[str, Data]) -> list[Cell]:
        """Return the cells, ordered by seed, then by dependency depth.

        A parent therefore stands before its children, so that no cell holds a slot while it waits for its parent. BadRequest if a
        setting does not fit.
        """
        cells: dict[str, Cell] = {}
        known: Known = {}
        for replicate in self.axes[self.replicated]:
            points = itertools.product(*((replicate,) if axis == self.replicated else self.axes[axis] for axis in self.axes))
            ancestries = [self._make_ancestry(dict(zip(self.axes, point, strict=True)), data, known) for point in points]
            for generation in itertools.zip_longest(*ancestries):
                cells |= {cell.key: cell for cell in generation if cell and cell.key not in cells}
        return list(cells.values())

    def is_prerequisite(self, cell: Cell) -> bool:
        """Return whether the cell is at no point of this grid, and is trained only for its children."""
        return any(value not in self.axes[axis] for axis, value in cell.axes.items())

    def _make_ancestry(self, point: dict[str, Value], data: dict[str, Data], known: Known, children: tuple[str, ...] = ()) -> list[Cell]:
        """Return the cell of a point, preceded by its parent and its parent's parents."""
        name = str(point[self.compared])
        if (parent := self.arms[name].parent) is None:
            return [self._make_cell(point, data, known)]
        parent = parent.format(**point)
        if parent not in self.arms:
            raise make_unknown_error(f"parent of {name} in {self.name}", parent, self.arms)
        if parent in (name, *children):
            raise BadRequest(f"{self.name}: the arms {', '.join((*children, name))} are each other's parents; one must have none")
        fixed = self.arms[parent].fixed
        if unknown := [axis for axis in fixed if axis not in self.axes]:
            raise make_unknown_error(f"axis of {self.name}, fixed for {parent},", unknown[0], self.axes)
        ancestry = self._make_ancestry(point | fixed | {self.compared: parent}, data, known, (*children, name))
        return [*ancestry, replace(self._make_cell(point, data, known), parent=ancestry[-1].key)]

    def _require_classes(self, fitted: dict[str, Any], present: dict[str, tuple[str, ...]]) -> None:
        """Raise BadRequest if the data and the study share fewer than two classes, or lack one that the settings name."""
        has = "; ".join(f"{role} has {', '.join(classes)}" for role, classes in present.items())
        if missing := [name for name in self.settings.get("classes", ()) if "classes" in fitted and name not in fitted["classes"]]:
            raise BadRequest(f"classes: not all data sets have the class {missing[0]} ({has})")
        if len(list_classes(fitted)) < 2 and ("classes" in fitted or "labelled" in fitted):
            shared = ", ".join(list_classes(fitted)) or "no class"
            raise BadRequest(f"{self.name}: the data sets share {shared} of its classes; two are needed ({has})")

    def _make_cell(self, point: dict[str, Value], data: dict[str, Data], known: Known) -> Cell:
        from trainables.data.task import TASKS
        from trainables.methods.method import METHODS

        arm = self.arms[str(point[self.compared])]
        task_name = arm.task or self.task
        method, task_kind = METHODS.find(arm.method), TASKS.find(task_name)
        task_type = task_kind.settings
        axis_settings = {
            axis: self.meanings[axis][point[axis]] if axis in self.meanings else {axis: point[axis]} for axis in self.condition_axes
        }
        chosen: dict[str, Any] = {}
        for axes, points in self.defaults.items():
            chosen |= points.get(tuple(point[axis] for axis in axes), {})
        chosen |= self.settings | arm.settings
        for settings in axis_settings.values():
            chosen |= settings
        for tuned in self.found:
            if tuned.applies_to(str(point[self.compared]), point):
                for name in tuned.settings:
                    if name.split(".")[0] not in method.Settings.model_fields:
                        raise make_unknown_error(
                            f"setting of method {arm.method}, searched for {tuned.arms[0]}:", name, method.Settings.model_fields
                        )
                chosen |= join_elements(tuned.settings)
        task_values, method_values = _pick_fields(chosen, task_type.model_fields), _pick_fields(chosen, method.Settings.model_fields)
        for axis, settings in axis_settings.items():
            if unused := [name for name in settings if name.split(".")[0] not in (*task_values, *method_values)]:
                subject = f"axis {axis} of {self.name}" if axis not in self.meanings else f"{unused[0]}, set by axis {axis} of {self.name},"
                raise BadRequest(f"{subject} is a setting of neither task {task_name} nor method {arm.method}")
        if "by" not in task_values and _takes_auto(task_type):
            target = data.get(task_values.get("target", task_type.model_fields["target"].default))
            if target and target.source.kind not in self.own:
                task_values["by"] = "auto"
        task_settings, plain_settings = _resolve_settings(task_type, task_values, f"task {task_name}", known)
        present = {role: source.classes for role, source in data.items() if source.classes}
        if task_kind.fit and (fitted := task_kind.fit(task_settings, present)):
            self._require_classes(fitted, present)
            task_settings, plain_settings = _resolve_settings(task_type, task_values | fitted, f"task {task_name}", known)
        roles = task_kind.roles(task_settings) if task_kind.roles else tuple(data)
        if missing := [role for role in roles if role not in data]:
            raise make_unknown_error(f"role of {self.name}", missing[0], data)
        return Cell(
            study=self.name,
            scale=self.scale,
            axes=point,
            task=task_name,
            task_settings=plain_settings,
            method=arm.method,
            method_settings=_resolve_settings(method.Settings, method_values, f"method {arm.method}", known)[1],
            version=method.version,
            data={role: data[role] for role in roles},
        )


def _list_setting_names(arm: Arm, task: str) -> set[str]:
    """Return the names of the settings of an arm's method, and of its task: `task` unless it has one of its own."""
    from trainables.data.task import TASKS
    from trainables.methods.method import METHODS

    return {*METHODS.find(arm.method).Settings.model_fields, *TASKS.find(arm.task or task).settings.model_fields}


AMOUNTS = {"epochs": "epochs", "steps": "steps", "images_seen": "images"}
"""by the setting of an amount: the budget that it is of"""


def _replace_budget(settings: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Return a study's settings without the amount of its own budget where a user sets another budget, or the amount of another one."""
    if "budget" not in settings or name not in ("budget", *AMOUNTS) or value is None:
        return settings
    budget = value if name == "budget" else AMOUNTS[name]
    return {key: kept for key, kept in settings.items() if AMOUNTS.get(key, budget) == budget} | {"budget": budget}


def list_classes(settings: dict[str, Any]) -> list[str]:
    """Return the classes of a task's plain settings, in their order; those of `labelled` roles where the task is given by roles."""
    if "classes" in settings:
        return list(settings["classes"])
    return list(dict.fromkeys(name for names in settings.get("labelled", {}).values() for name in names))


def _takes_auto(task_type: type[Settings]) -> bool:
    """Return whether the task's setting `by` may be auto."""
    return "by" in task_type.model_fields and "auto" in get_args(task_type.model_fields["by"].annotation)


def _resolve_settings(kind: type[Settings], values: dict[str, Any], what: str, known: Known) -> tuple[Any, dict[str, Any]]:
    """Return settings and the same as plain containers, which all cells with these settings share."""
    key = (what, repr(values))
    if key not in known:
        settings = resolve_settings(kind, values, what)
        known[key] = settings, settings.model_dump(mode="json")
    return known[key]


STUDIES: Registry[Callable[[Scale], Study]] = Registry("study", "search_spaces")


def _pick_fields(wanted: dict[str, Any], fields: Any) -> dict[str, Any]:
    """Return the values of these fields, with dotted names folded into nested settings."""
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


def match_value(axis: str, values: Sequence[Value], text: str) -> Value:
    """Return the value of an axis that a user means by `text`: .5 is 0.5. Raises BadRequest if there is none."""
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
