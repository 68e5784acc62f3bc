"""The study ciao: its grid, its prerequisites, and the published heads and tables as printed."""

from dataclasses import replace

import pytest

from search_spaces.ciao import HEADS
from search_spaces.search_space import TunedSettings
from search_spaces.space_tree import list_settings
from search_spaces.study import STUDIES, Study
from trainables.cell import Data, Value
from trainables.registry import BadRequest


def roles(study: Study) -> dict[str, Data]:
    return {role: Data(source, f"fingerprint of {source.to_text()}", role) for role, source in study.roles.items()}


@pytest.mark.parametrize(("scale", "seeds"), [("paper", 30), ("pocket", 3)])
def test_the_grid(scale: str, seeds: int) -> None:
    """Six networks, two encoders, six data sets, two in two ways. Two prerequisites are trained once each, first, never compared."""
    study = STUDIES.find("ciao")(scale)
    cells = study.make_cells(roles(study))
    parents = [cell for cell in cells if study.is_prerequisite(cell)]
    assert len(cells) - len(parents) == 6 * 2 * 8 * seeds and [cell.method for cell in parents] == ["identity", "adversarial_autoencoder"]
    assert all(cell.task == "identity" and set(cell.data) == {"persons"} for cell in parents)
    position = {cell.key: number for number, cell in enumerate(cells)}
    assert (parents[0].method_settings["momentum"], parents[0].method_settings["batch"]) == (0.9, 64)
    by_encoder = {"VGG": parents[0].key, "PK": parents[1].key}
    for cell in cells:
        if not study.is_prerequisite(cell):
            assert cell.parent == by_encoder[str(cell.axes["encoder"])] and position[cell.parent] < position[cell.key]
            assert len(cell.data) == 1 and cell.task == "adaptation"
            assert cell.method_settings["regime"] + "+CIAO" * cell.method_settings["mask"] == cell.axes["network"]


def test_the_published_heads_are_the_preset_and_a_setting_overrides_them() -> None:
    study = STUDIES.find("ciao")("paper")
    cells = {
        (cell.axes["data"], cell.axes["encoder"]): cell
        for cell in study.with_seeds(1).make_cells(roles(study))
        if not study.is_prerequisite(cell)
    }
    cell = cells["FER+", "PK"].method_settings
    assert (cell["head"]["units"], cell["head"]["layers"], cell["head"]["pool"], cell["head"]["dropout"]) == (128, 1, True, 0.5)
    assert (cell["lr"], cell["temperature"], cell["batch"], cell["optimizer"]) == (0.006, 0.23255182441856523, 64, "Adam")
    cell = cells["AffectNet", "VGG"].method_settings
    assert (cell["lr"], cell["momentum"], cell["nesterov"], cell["optimizer"]) == (0.008, 0.4, True, "SGD")
    assert cells["JAFFE", "VGG"].task_settings["by"] == "exemplar" and cells["JAFFE by person", "VGG"].task_settings["by"] == "subject"
    assert cells["EmoReact", "PK"].task_settings["frames"] == 8 and cells["EmoReact", "VGG"].method_settings["lr"] < 0.01
    changed = study.with_setting("lr", 0.1).with_seeds(1)
    assert {cell.method_settings["lr"] for cell in changed.make_cells(roles(study)) if not study.is_prerequisite(cell)} == {0.1}
    assert [cell.method_settings["lr"] for cell in changed.make_cells(roles(study)) if study.is_prerequisite(cell)] == [0.01, 2e-4]


def test_every_place_has_a_head_and_the_space_knows_its_settings() -> None:
    study = STUDIES.find("ciao")("paper")
    assert set(HEADS) == {(data, encoder) for data in study.axes["data"] for encoder in study.axes["encoder"]}
    (search,) = study.searches
    assert {search.arm, *search.shared} == set(study.axes["network"]), "all networks use the head found"
    point: dict[str, Value] = {"data": "FER2013", "encoder": "PK"}
    units = {"head.units.1": 256, "head.units.2": 64, "head.units.3": 100}
    found = {"head.layers": 3, "head.pool": False, "optimizer": "SGD", "nesterov": True, "momentum": 0.0, "batch": 16} | units
    assert found.keys() <= set(list_settings(search.space))
    tuned = replace(study.with_seeds(1), found=(TunedSettings((search.arm, *search.shared), point, found),))
    cells = [cell for cell in tuned.make_cells(roles(study)) if not study.is_prerequisite(cell) and point.items() <= cell.axes.items()]
    assert {cell.axes["network"] for cell in cells} == set(study.axes["network"])
    for cell in cells:
        head = cell.method_settings["head"]
        assert (head["layers"], head["units"], head["pool"], head["dropout"]) == (3, [256, 64, 100], False, 0.5)
        assert cell.method_settings["batch"] == 16


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("regime", "LC", "regime is set by the axis network"),
        ("target", "label", "target is set by the axis data"),
        ("temprature", 0.1, "unknown setting of ciao 'temprature'; did you mean temperature"),
    ],
)
def test_a_setting_that_is_none(name: str, value: object, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        STUDIES.find("ciao")("pocket").with_setting(name, value)


@pytest.mark.parametrize(("name", "value"), [("temperature", 0), ("temperature", -1), ("lr", 0), ("features", "logits")])
def test_a_value_that_is_none_is_refused_before_anything_starts(name: str, value: object) -> None:
    study = STUDIES.find("ciao")("pocket").with_setting(name, value)
    with pytest.raises(BadRequest, match=f"setting {name}={value!r} of method"):
        study.make_cells(roles(study))
