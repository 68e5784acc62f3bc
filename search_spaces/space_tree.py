"""Functions on search spaces: check them, list and draw their parameters, and translate between parameters and settings.

A suggestion is a dict of parameters: one value for each range and choice on its path through the tree, and nothing for other options.
"""

import math
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

from search_spaces.search_space import STARTUP, Choice, Fixed, OneOf, Range, Space, Whole
from trainables.cell import Value
from trainables.registry import BadRequest
from trainables.settings import get_nested_setting

Parameters = dict[str, Value]


def check_space(space: Space) -> None:
    """Raise BadRequest for an empty choice, a range whose ends are swapped or that is not finite, a name that is twice on one path,
    as in a cycle, and a name with different ranges in several options.
    """
    _check_path(space, (), {})


def _check_path(space: Space, path: tuple[str, ...], ranges: dict[str, Range]) -> None:
    path = (*path, *space)
    for name, node in space.items():
        if path.count(name) > 1:
            raise BadRequest(f"search space: {name} is twice on one path; rename or remove one")
        if isinstance(node, Fixed):
            continue
        limits = _get_range(node)
        if isinstance(limits, OneOf):
            if not limits.values:
                raise BadRequest(f"search space: the choice {name} is empty; give it values, or remove it")
        elif not (math.isfinite(limits.low) and math.isfinite(limits.high) and limits.low < limits.high):
            raise BadRequest(f"search space: {name} from {limits.low} to {limits.high}: the lower end must come first, both must be finite")
        elif limits.log and limits.low <= 0:
            raise BadRequest(f"search space: {name} from {limits.low} to {limits.high}: a logarithmic range begins above 0")
        if ranges.setdefault(name, limits) != limits:
            raise BadRequest(f"search space: {name} has two ranges; a name has the same range in every option")
        if isinstance(node, Choice):
            for option in node.options.values():
                _check_path(option, path, ranges)


def _get_range(node: Range | Choice) -> Range:
    return OneOf(tuple(node.options)) if isinstance(node, Choice) else node


def list_parameters(space: Space) -> dict[str, Range]:
    """Return the range of every parameter of the tree; of a choice, its options."""
    parameters: dict[str, Range] = {}
    for name, node in space.items():
        if not isinstance(node, Fixed):
            parameters[name] = _get_range(node)
        for option in node.options.values() if isinstance(node, Choice) else ():
            parameters |= list_parameters(option)
    return parameters


def count_trials(space: Space) -> int:
    """Return how many suggestions a search of the space makes by default: those drawn at random first, then three for each parameter of
    the longest path. It is a rule of thumb, between what a day allows and what samplers are tested with.
    """
    return STARTUP + 3 * max(len(parameters) for parameters in list_ends(space))


def list_settings(space: Space) -> list[str]:
    """Return the names of all settings that a suggestion may contain."""
    names: dict[str, None] = {}
    for name, node in space.items():
        if not isinstance(node, Choice) or node.setting:
            names[name] = None
        for option in node.options.values() if isinstance(node, Choice) else ():
            names |= dict.fromkeys(list_settings(option))
    return list(names)


def draw_parameters(space: Space, draw: Callable[[str, Range], Value]) -> Parameters:
    """Return the parameters of one path. `draw` returns the value of each, in order; a choice comes before its option's parameters."""
    parameters: Parameters = {}
    for name, node in space.items():
        if not isinstance(node, Fixed):
            parameters[name] = draw(name, _get_range(node))
        if isinstance(node, Choice):
            parameters |= draw_parameters(node.options[parameters[name]], draw)
    return parameters


def list_ends(space: Space) -> Iterator[Parameters]:
    """Yield parameters at the lower and at the upper ends of all ranges, on every path."""
    for end in (0, -1):
        yield from _list_ends(space, end)


def _list_ends(space: Space, end: int) -> list[Parameters]:
    alternatives: list[list[Parameters]] = []
    for name, node in space.items():
        if isinstance(node, Choice):
            alternatives.append([{name: option} | rest for option, sub in node.options.items() for rest in _list_ends(sub, end)])
        elif not isinstance(node, Fixed):
            alternatives.append([{name: node.values[end] if isinstance(node, OneOf) else (node.low, node.high)[end]}])
    return [{name: value for part in parts for name, value in part.items()} for parts in product(*alternatives)]


def make_settings(space: Space, parameters: Parameters) -> dict[str, Any]:
    """Return the settings that parameters stand for."""
    settings: dict[str, Any] = {}
    for name, node in space.items():
        if isinstance(node, Fixed):
            settings[name] = node.value
        elif not isinstance(node, Choice) or node.setting:
            settings[name] = parameters[name]
        if isinstance(node, Choice):
            settings |= make_settings(node.options[parameters[name]], parameters)
    return settings


def find_parameters(space: Space, settings: dict[str, Any]) -> Parameters | None:
    """Return the parameters that stand for a method's settings, or None if the space does not contain them."""
    parameters: Parameters = {}
    for name, node in space.items():
        value = get_nested_setting(settings, name)
        if isinstance(node, Choice):
            options = ((option, sub) for option, sub in node.options.items() if not node.setting or option == value)
            found = ({name: option} | rest for option, sub in options if (rest := find_parameters(sub, settings)) is not None)
            if (chosen := next(found, None)) is None:
                return None
            parameters |= chosen
        elif not _contains_value(node, value):
            return None
        elif not isinstance(node, Fixed):
            parameters[name] = value
    return parameters


def _contains_value(node: Range | Fixed, value: Any) -> bool:
    if isinstance(node, Fixed):
        return bool(value == node.value)
    if isinstance(node, OneOf):
        return value in node.values
    kinds = int if isinstance(node, Whole) else int | float
    return isinstance(value, kinds) and not isinstance(value, bool) and node.low <= value <= node.high


def describe_space(space: Space) -> dict[str, Any]:
    """Return the tree as JSON: what a record and best.json keep of it."""
    return {name: _describe_node(node) for name, node in space.items()}


def _describe_node(node: Range | Fixed | Choice) -> dict[str, Any]:
    kind = {"kind": type(node).__name__}
    if isinstance(node, Choice):
        return kind | {"setting": node.setting, "options": [[option, describe_space(sub)] for option, sub in node.options.items()]}
    return kind | {name: list(value) if isinstance(value, tuple) else value for name, value in vars(node).items()}


def join_elements(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the elements of each list joined: x.1 and x.2 become the list x. BadRequest if one is missing."""
    joined: dict[str, Any] = {}
    lists: dict[str, dict[int, Any]] = {}
    for name, value in settings.items():
        stem, _, last = name.rpartition(".")
        if stem and last.isdecimal():
            lists.setdefault(stem, {})[int(last)] = value
        else:
            joined[name] = value
    for stem, elements in lists.items():
        if sorted(elements) != list(range(1, len(elements) + 1)):
            raise BadRequest(f"setting {stem}: has the elements {', '.join(map(str, sorted(elements)))}; they begin at 1 without a gap")
        joined[stem] = [elements[number] for number in sorted(elements)]
    return joined
