"""Help on studies: one line each, and one study in full. PyTorch is not imported, so that --help stays fast."""

import ast
import re
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

from platform.cli.setting_docs import ROOT, SettingDoc, list_method_settings, list_task_settings


def list_studies() -> dict[str, str]:
    """Return the question of every study by name: the first line of the docstring of its file in `search_spaces`."""
    questions = {}
    for file in sorted((ROOT / "search_spaces").glob("*.py")):
        module = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "STUDIES.register" and isinstance(node.args[0], ast.Constant):
                line = (ast.get_docstring(module) or "").partition("\n")[0]
                questions[str(node.args[0].value)] = re.sub(r" \([^()]*\)$", "", line)  # the paper has a place of its own
    return questions


def describe_studies(command: str) -> str:
    """Return all studies, a line each, as the end of a command's help."""
    lines = [f" {name:30}{question}" for name, question in list_studies().items()]
    return "\n".join([f"Studies ({command} STUDY --help shows one in full):", *lines, ""])


def describe_study(name: str) -> str:
    """Return a study's question, axes, arms, roles of data and settings at both scales. Raises BadRequest for an unknown name."""
    from search_spaces.study import STUDIES

    make = STUDIES.find(name)
    pocket, paper = make("pocket"), make("paper")
    question = list_studies().get(name, paper.title)
    lines = [f"{name}: {paper.title} ({paper.source})", *_wrap(question), ""]
    documented = _collect_settings(paper)
    lines += ["Axes (--only AXIS=V,V):", *_describe_axes(pocket, paper, documented), ""]
    lines += ["Roles of data (--data ROLE=KIND:PATH):", *_describe_roles(paper), ""]
    lines += ["Settings (--set KEY=VALUE), with their values at pocket scale and, if it differs, at paper scale:"]
    lines += [*_describe_settings(pocket, paper, documented), ""]
    if paper.searches:
        lines += [*(line for search in paper.searches for line in _describe_search(search)), ""]
    return "\n".join([*lines, *_describe_size(pocket, paper)])


def _describe_axes(pocket: Any, paper: Any, documented: dict[str, SettingDoc]) -> Iterator[str]:
    for axis, values in paper.axes.items():
        if axis == paper.replicated:
            yield from _wrap(f"{axis}: {len(pocket.axes[axis])} at pocket scale, {len(values)} at paper scale (--seeds N)", 2)
            continue
        here, further = pocket.axes[axis], [value for value in values if value not in pocket.axes[axis]]
        text = ", ".join(map(str, here)) + (f"; at paper scale also {', '.join(map(str, further))}" if further else "")
        meaning = documented[axis].text if axis in documented else ""
        if axis == paper.compared:
            meaning = "the axis that is compared"
        yield from _wrap(f"{axis}: {text}" + (f" ({meaning})" if meaning else ""), 2)
        if axis == paper.compared:
            texts = {value: paper.arms[str(value)].text for value in values}
            yield from (line for value, text in texts.items() for line in _wrap(f"{value}: {text}" if text else str(value), 4))
            parents = [arm for arm in paper.arms if arm not in values]
            yield from (line for arm in parents for line in _wrap(f"{arm}, from which others start: {paper.arms[arm].text}", 4))


def _describe_roles(paper: Any) -> Iterator[str]:
    for role, source in paper.roles.items():
        used = f"; the paper: {paper.paper_data[role]}" if role in paper.paper_data else ""
        yield from _wrap(f"{role}: embedded faces ({source.path or source.population or 'all'}){used}", 2)


def _collect_settings(paper: Any) -> dict[str, SettingDoc]:
    """Return the settings of the study's tasks and methods by name, axes included. Of several declarations the first arm's counts."""
    tasks = dict.fromkeys([paper.task, *(arm.task for arm in paper.arms.values() if arm.task)])
    methods = dict.fromkeys(arm.method for arm in paper.arms.values())
    settings: dict[str, SettingDoc] = {}
    for docs in (*map(list_task_settings, tasks), *map(list_method_settings, methods)):
        for doc in docs:
            settings.setdefault(doc.name, doc)
    return settings


def _describe_settings(pocket: Any, paper: Any, documented: dict[str, SettingDoc]) -> Iterator[str]:
    taken = {*paper.axes, *(name for values in paper.meanings.values() for settings in values.values() for name in settings)}
    taken |= {name for value in paper.axes[paper.compared] for name in paper.arms[str(value)].settings}
    for name, doc in documented.items():
        if name in taken or name.partition(".")[0] in taken:
            continue  # set by an axis
        small, large = (_get_value(study.settings, name, doc.default) for study in (pocket, paper))
        value = small if small == large else f"{small} (paper: {large})"
        yield from _wrap(f"{name} = {value}" + (f"  {doc.text}" if doc.text else ""), 2)


def _describe_search(search: Any) -> list[str]:
    from search_spaces.space_tree import list_settings

    names = ", ".join(list_settings(search.space))
    return _wrap(f"Search: {search.trials} suggestions for {search.arm} under each condition, by {search.searcher}; it tunes {names}")


def _get_value(settings: dict[str, Any], name: str, default: str) -> str:
    return repr(settings[name]) if name in settings else default


def _describe_size(pocket: Any, paper: Any) -> Iterator[str]:
    minutes = f", about {pocket.minutes} minutes on two cores" if pocket.minutes else ""
    yield f"Trainings: {_count_points(pocket):,} at pocket scale{minutes}; {_count_points(paper):,} at paper scale (--scale paper)."
    yield "--dry-run estimates the time on this machine. Options: --help without a study."


def _count_points(study: Any) -> int:
    """Return the number of points of the grid; prerequisites come on top."""
    number = 1
    for values in study.axes.values():
        number *= len(values)
    return number


def _wrap(text: str, indent: int = 0) -> list[str]:
    width = min(120, shutil.get_terminal_size().columns)
    return textwrap.wrap(
        text, width, initial_indent=" " * indent, subsequent_indent=" " * (indent + 4 if indent else 0), break_on_hyphens=False
    )
