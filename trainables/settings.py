"""Settings: the frozen, checked fields of a task or a method; a wrong name or value is one line."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from trainables.registry import BadRequest, make_unknown_error


class Settings(BaseModel):
    """Base of every task's and method's settings; the docstring under a field is its help."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


Kind = TypeVar("Kind", bound=Settings)


def resolve_settings(kind: type[Kind], values: dict[str, Any], of: str) -> Kind:
    """Settings of this kind from plain values; `of` names the owner in an error."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise make_unknown_error(f"setting of {of}", name, kind.model_fields) from None
        said = first.get("ctx", {}).get("error", first["msg"].lower())  # what a validator of ours says stays as it is
        what = f"setting {name}={first['input']!r} of {of}" if name else f"settings of {of}"  # without a name: of several together
        raise BadRequest(f"{what}: {said}") from None
