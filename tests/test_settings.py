"""Tests of settings and registries.

Settings are frozen, validated, and written with every default. A wrong name or value gives one line that suggests the closest match.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from trainables.data.task import TASKS
from trainables.methods.method import METHODS
from trainables.registry import BadRequest, Registry, make_unknown_error
from trainables.settings import Settings, resolve_settings


class Oven(Settings):
    degrees: float = Field(180.0, gt=0)
    """Celsius"""
    minutes: int = 30
    fan: bool = False
    shelves: tuple[int, ...] = (1, 2)


OWNERS = [(f"task {name}", kind.settings) for name, kind in TASKS.import_all().items()]
OWNERS += [(f"method {name}", kind.Settings) for name, kind in METHODS.import_all().items()]


@pytest.mark.parametrize(("of", "kind"), OWNERS)
def test_every_registered_setting_has_a_default_and_travels(of: str, kind: type[Settings]) -> None:
    """A cell stores its settings as JSON and restores them, so every setting has a default and JSON changes none."""
    default = resolve_settings(kind, {}, of)
    written = default.model_dump(mode="json")
    assert written.keys() == kind.model_fields.keys()
    assert resolve_settings(kind, written, of) == default
    assert resolve_settings(kind, written, of).model_dump(mode="json") == written


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        resolve_settings(Oven, {}, "oven").minutes = 3  # type: ignore[misc]


def test_a_docstring_is_the_help() -> None:
    assert Oven.model_fields["degrees"].description == "Celsius"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"degree": 200}, r"^unknown setting of oven 'degree'; did you mean degrees\? \(known: degrees, fan, minutes, shelves\)$"),
        ({"zzz": 1}, r"^unknown setting of oven 'zzz' \(known: degrees, fan, minutes, shelves\)$"),
        ({"degrees": -1}, r"^setting degrees=-1 of oven: input should be greater than 0$"),
        ({"degrees": float("nan")}, r"^setting degrees=nan of oven: input should be a finite number$"),
        ({"degrees": float("inf")}, r"^setting degrees=inf of oven: input should be a finite number$"),
        ({"minutes": 2.5}, r"^setting minutes=2\.5 of oven: input should be a valid integer"),
        ({"minutes": None}, r"^setting minutes=None of oven: input should be a valid integer$"),
        ({"fan": "perhaps"}, r"^setting fan='perhaps' of oven: input should be a valid boolean"),
        ({"shelves": [1, "top"]}, r"^setting shelves\.1='top' of oven: input should be a valid integer"),
    ],
)
def test_a_wrong_setting_is_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        resolve_settings(Oven, values, "oven")
    assert "\n" not in str(caught.value)


@given(
    st.dictionaries(
        st.one_of(st.sampled_from(sorted(Oven.model_fields)), st.text(max_size=5)),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)), lambda inner: st.lists(inner, max_size=3)
        ),
    )
)
def test_anything_is_taken_or_refused(values: dict[str, object]) -> None:
    try:
        taken = resolve_settings(Oven, values, "oven")
    except BadRequest as error:
        assert "oven" in str(error)
    else:
        assert values.keys() <= Oven.model_fields.keys() and taken.degrees > 0


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry[str]]:
    """A package whose modules register with `THINGS`."""
    package = tmp_path / "kitchen"
    package.mkdir()
    (package / "__init__.py").write_text('from trainables.registry import Registry\nTHINGS = Registry("thing", "kitchen")\n')
    (package / "spoon.py").write_text('from kitchen import THINGS\n\n@THINGS.register("spoon")\ndef spoon(): ...\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    import kitchen  # type: ignore[import-not-found]

    yield kitchen.THINGS
    for name in [name for name in sys.modules if name.partition(".")[0] == "kitchen"]:
        del sys.modules[name]


def test_a_new_file_is_found_without_an_edit(kitchen: Registry[str], tmp_path: Path) -> None:
    assert list(kitchen.import_all()) == ["spoon"]
    (tmp_path / "kitchen" / "fork.py").write_text('from kitchen import THINGS\nTHINGS.register("fork")("a fork")\n')
    assert list(kitchen.import_all()) == ["fork", "spoon"]
    assert kitchen.find("fork") == "a fork"
    with pytest.raises(BadRequest, match=r"^unknown thing 'spon'; did you mean spoon\? \(known: fork, spoon\)$"):
        kitchen.find("spon")


def test_two_of_one_name_are_an_error(kitchen: Registry[str]) -> None:
    kitchen.import_all()
    with pytest.raises(ValueError, match="two things are called spoon"):
        kitchen.register("spoon")("another")


@given(st.text(), st.lists(st.text(min_size=1)))
def test_an_unknown_name_is_refused_whatever_is_known(name: str, known: list[str]) -> None:
    message = str(make_unknown_error("thing", name, known))
    assert message.startswith(f"unknown thing {name!r}") and all(entry in message for entry in known)
