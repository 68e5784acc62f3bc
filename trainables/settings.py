"""Settings: frozen and validated fields of a task or a method. A wrong name or value gives a one-line error."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from trainables.registry import BadRequest, make_unknown_error


class Settings(BaseModel):
    """Base class of all task and method settings. The docstring under a field is its help text."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


Kind = TypeVar("Kind", bound=Settings)


def resolve_settings(kind: type[Kind], values: dict[str, Any], of: str) -> Kind:
    """Return settings of this kind from plain values. `of` names the owner in an error."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise make_unknown_error(f"setting of {of}", name, kind.model_fields) from None
        message = first.get("ctx", {}).get("error", first["msg"].lower())  # messages of our own validators are kept unchanged
        given = "" if isinstance(first["input"], dict) else f"={first['input']!r}"  # a group's message names the field and its value
        subject = f"setting {name}{given} of {of}" if name else f"settings of {of}"  # no name: several fields
        raise BadRequest(f"{subject}: {message}") from None


def get_nested_setting(settings: dict[str, Any], name: str) -> Any:
    """Return the value that a name addresses in plain settings, such as `augmentation.scale`. Return None if there is no such value.

    A number addresses an element of a list, from 1. Where one value stands for all elements, each element has it.
    """
    value: Any = settings
    for part in name.split("."):
        if part.isdecimal() and isinstance(value, list | tuple):
            value = value[int(part) - 1] if 0 < int(part) <= len(value) else None
        elif not part.isdecimal() or isinstance(value, dict):
            value = value.get(part) if isinstance(value, dict) else None
    return value
