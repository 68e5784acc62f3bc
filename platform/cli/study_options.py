"""The options of a command that describe a study: its axis values, its settings, its data."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

import yaml

from platform.stats.sequential_design import check_most_seeds
from platform.terminal.progress import make_printable
from search_spaces.study import STUDIES, Scale, Study
from trainables.cell import Data
from trainables.data.dataset import DataError
from trainables.data.source import Source, is_role_file, join_parts, load_faces, parse_roles, set_fixed_test
from trainables.data.task import TASKS
from trainables.registry import BadRequest, make_unknown_error
from trainables.settings import resolve_settings

SCALES = ("pocket", "paper")
USUAL_MOST = 20
"""of a grid that adds seeds until its claims are decided, unless the user says otherwise"""


def narrow_study(name: str, scale: str, only: list[str], seeds: int | None, settings: list[str], options: list[str]) -> Study:
    """Return the study of this name at this scale with --only, --seeds and --set applied.

    `options` names the options of the command: one of them is no setting, which the error says.
    """
    if scale not in SCALES:
        raise make_unknown_error("scale", scale, SCALES)
    if settings and "=" not in settings[-1] and name not in STUDIES.import_all():
        raise BadRequest(f"{name!r} is not a study; did you mean --set {settings[-1]}={name}?")
    study: Study = STUDIES.find(name)(cast(Scale, scale))
    if seeds is not None:
        study = study.with_seeds(seeds)
    for option in only:
        axis, values = parse_pair("--only", option, "AXIS=V,V")
        try:
            study = study.narrow_axis(axis, values.split(","))
        except BadRequest as error:
            raise BadRequest(f"{error}{_describe_other_scale(name, scale, axis)}") from None
    for option in settings:
        key, value = parse_pair("--set", option, "KEY=VALUE")
        if key in options and key not in study.axes:
            raise BadRequest(f"--set {option}: {key} is an option: --{key} {value}")
        study = study.with_setting(key, yaml.safe_load(value))
        if unused := study.describe_unused_setting(key):
            print(make_printable(unused), file=sys.stderr)
    return study


def choose_most_seeds(until_decided: bool, max_seeds: int | None, seeds: int | None) -> int | None:
    """Return the most seeds of a grid that adds seeds until its claims are decided; None for a grid of a fixed number of seeds."""
    if not until_decided:
        if max_seeds is not None:
            raise BadRequest(f"--max-seeds {max_seeds}: only with --until-decided; a fixed number of seeds is --seeds {max_seeds}")
        return None
    if seeds is not None:
        raise BadRequest(f"--seeds {seeds}: --until-decided finds the number of seeds itself; set the most seeds with --max-seeds N")
    most = USUAL_MOST if max_seeds is None else max_seeds
    check_most_seeds(most, f"--max-seeds {most}")
    return most


def require_all_seeds(study: Study, most: int) -> None:
    """Raise BadRequest if options have narrowed the seeds of a study or made it one without claims."""
    if study.axes[study.replicated] != tuple(range(most)):
        raise BadRequest(f"--only {study.replicated}=...: --until-decided finds the {study.replicated}s itself; see --max-seeds N")
    if not study.claims:
        raise BadRequest(f"--until-decided: {study.name} has no claims to decide; use --seeds N")


def _describe_other_scale(name: str, scale: str, axis: str) -> str:
    """Return the values of an axis that only the other scale has, as the end of a message."""
    here, other = (STUDIES.find(name)(cast(Scale, key)) for key in (scale, *(key for key in SCALES if key != scale)))
    further = [str(value) for value in other.axes.get(axis, ()) if value not in here.axes.get(axis, ())]
    return f"; --scale {other.scale} also has {', '.join(further)}" if further and axis != here.replicated else ""


def list_tested_roles(study: Study) -> dict[str, float]:
    """Return the roles whose images the study's trainings are tested on, with the share of a fixed test part of each."""
    unread = {role: Data(source, "", "") for role, source in study.roles.items()}
    shares: dict[str, float] = {}
    for cell in study.with_seeds(1).make_cells(unread):
        kind = TASKS.find(cell.task)
        if kind.tested and not study.is_prerequisite(cell):
            settings = resolve_settings(kind.settings, cell.task_settings, f"task {cell.task}")
            shares |= {role: share for role, share in kind.tested(settings).items() if role not in shares}
    return shares


def read_roles(study: Study, options: list[str], fixed_test: Mapping[str, float] = MappingProxyType({})) -> dict[str, Data]:
    """Read the data of the roles that the grid uses: of all sources that the options name for a role, else of the study's own.

    `fixed_test` gives the share of the fixed test part of some roles.

    A fault in the data is found here, before anything starts. Raises BadRequest for a role that an option names and that the study does not
    use with these settings. If --only leaves the role out, or a file of roles names it, which may serve several grids, that is a note.
    """
    used = _list_used_roles(study)
    named: dict[str, list[Source]] = {}
    for option in options:
        for role, given in parse_roles(option).items():
            if role not in study.roles:
                raise make_unknown_error(f"role of {study.name}", role, study.roles)
            if role not in used:
                unused = f"--data {option}: no training of this grid uses the role {role}; roles in use: {', '.join(used)}"
                if not is_role_file(option) and role not in _list_used_roles(_undo_only(study)):
                    raise BadRequest(unused)
                print(make_printable(unused), file=sys.stderr)
            named.setdefault(role, []).extend(given)
    sources = study.roles | {role: join_parts(parts) for role, parts in named.items()}
    sources = {role: set_fixed_test(source, fixed_test[role]) if role in fixed_test else source for role, source in sources.items()}
    task_settings: dict[str, Any] = {name: study.settings[name] for name in ("size", "colour") if name in study.settings}
    task: Any = resolve_settings(TASKS.find(study.task).settings, task_settings, f"task {study.task}")
    data = {}
    for role in used:
        source = sources[role]
        try:
            faces = load_faces(source, task.size, task.colour)
        except DataError as error:
            raise DataError(f"{role}: {error}") from None
        for note in faces.notes:
            print(make_printable(f"{role}: {note}"), file=sys.stderr)
        present = tuple(name for code, name in enumerate(faces.classes) if (faces.labels == code).any())
        data[role] = Data(source, faces.fingerprint, faces.title, faces.notes, present)
    return data


def _list_used_roles(study: Study) -> list[str]:
    """Return the roles whose data some training uses."""
    unread = {role: Data(source, "", "") for role, source in study.roles.items()}
    in_cells = {role for cell in study.with_seeds(1).make_cells(unread) for role in cell.data}
    return [role for role in study.roles if role in in_cells]


def _undo_only(study: Study) -> Study:
    """Return the study with all values of its axes, and its settings as they are."""
    return replace(study, axes=STUDIES.find(study.name)(study.scale).axes) if study.name in STUDIES.import_all() else study


def parse_pair(option: str, text: str, form: str) -> tuple[str, str]:
    """Return both sides of an option's NAME=VALUE. Raises BadRequest, which names the expected form, where one is missing."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise BadRequest(f"{option} {text}: expected {option} {form}")
    return name, value
