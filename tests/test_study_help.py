"""What --help says of a study: everything that the study declares, and settings as the classes themselves declare them."""

import sys
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from platform.cli.setting_docs import SettingDoc, list_method_settings, list_task_settings
from platform.cli.study_help import describe_study, list_studies
from search_spaces.study import STUDIES
from trainables.data.task import TASKS
from trainables.methods.method import METHODS
from trainables.registry import BadRequest

NAMES = sorted(STUDIES.import_all())


def flatten(prefix: str, value: Any) -> dict[str, Any]:
    """Return the fields of a nested settings object by dotted name."""
    return {f"{prefix}.{name}": field for name, field in vars(value).items()}


def check(documented: list[SettingDoc], model: type[BaseModel]) -> None:
    """Compare what was read from the source with the class that Python made of it."""
    found = {doc.name: doc for doc in documented}
    names = {name: value for parent in model.__mro__ for name, value in vars(sys.modules[parent.__module__]).items()}
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if hasattr(default, "__dict__") and not isinstance(default, type):
            expected = flatten(name, default)
            assert {nested: eval(found.pop(nested).default, names) for nested in expected} == expected
            continue
        doc = found.pop(name)
        assert doc.text == " ".join((field.description or "").split())
        if default is not PydanticUndefined:
            assert eval(doc.default, names) == default, name
    assert not found


@pytest.mark.parametrize("method", sorted(METHODS.import_all()))
def test_settings_of_a_method_are_read_as_its_class_has_them(method: str) -> None:
    check(list_method_settings(method), METHODS.find(method).Settings)


@pytest.mark.parametrize("task", sorted(TASKS.import_all()))
def test_settings_of_a_task_are_read_as_its_class_has_them(task: str) -> None:
    check(list_task_settings(task), TASKS.find(task).settings)


def test_all_studies_are_listed_with_their_questions() -> None:
    questions = list_studies()
    assert sorted(questions) == NAMES
    assert all(question.endswith("?") for question in questions.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_study_is_described_in_full(name: str) -> None:
    text = " ".join(describe_study(name).split())
    assert " ".join(list_studies()[name].split()) in text
    for scale in ("pocket", "paper"):
        study = STUDIES.find(name)(scale)
        for axis, values in study.axes.items():
            assert f"{axis}: " in text
            assert axis == study.replicated or all(str(value) in text for value in values)
        for role in study.roles:
            assert f"{role}: embedded faces" in text and study.paper_data[role] in text
        for arm in study.arms.values():
            assert arm.text and arm.text in text
        for setting, value in study.settings.items():
            assert f"{setting} = " in text and repr(value) in text, setting


def test_an_unknown_study_is_one_line() -> None:
    with pytest.raises(BadRequest, match="unknown study 'ciaos'; did you mean ciao"):
        describe_study("ciaos")
