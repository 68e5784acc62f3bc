"""Axes whose values stand for several settings: what of a study reaches a cell, requests that it refuses, and the printed tables."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from search_spaces.annealed_label_transfer import ROLES, SCENARIOS, SEVEN
from search_spaces.study import STUDIES, Study
from trainables.cell import Data
from trainables.data.source import Source
from trainables.registry import BadRequest

ALT = STUDIES.find("annealed_label_transfer")
DATA = {role: Data(Source("faces"), f"fingerprint of {role}", role) for role in ROLES}
PLAYED = {
    "wild": {"wild", "pool"},
    "webplus": {"webplus", "pool"},
    "web": {"web", "pool"},
    "anxiety": {"wild", "anxiety", "pool"},
    "children": {"children", "webplus", "pool_lab", "pool_children"},
    "to_children": {"wild", "children"},
}


def test_a_cell_holds_the_data_its_scenario_names_and_no_others() -> None:
    """The data of another scenario may therefore change, or be missing, without affecting the cell."""
    changed = DATA | {"children": replace(DATA["children"], fingerprint="another")}
    for cell, other in zip(ALT("pocket").make_cells(DATA), ALT("pocket").make_cells(changed), strict=True):
        scenario = str(cell.axes["scenario"])
        assert set(cell.data) == PLAYED[scenario]
        assert (cell.key == other.key) == ("children" not in PLAYED[scenario])
        for name, value in SCENARIOS[scenario].items():
            setting = cell.task_settings[name]
            assert setting == ({role: list(classes) for role, classes in value.items()} if isinstance(value, dict) else list(value))


def test_the_papers_grid_and_settings() -> None:
    paper = ALT("paper").make_cells(DATA)
    assert len(paper) == 5 * 4 * 6 * 12
    expected = {"lr": 1e-3, "epochs": 150, "weight_decay": 5e-4, "milestones": [1 / 3, 2 / 3]}
    for cell in paper:
        assert {name: cell.method_settings[name] for name in expected} == expected
        assert cell.method_settings["encoder"] == cell.axes["encoder"]
        assert (cell.task_settings["size"], cell.task_settings["test"], cell.task_settings["validation"]) == (224, 0.45, 0.1)
    annealed = next(cell for cell in paper if cell.axes["method"] == "ALT").method_settings
    expected = {"temperature": 0.2, "cooling": 0.75, "slope": 0.75, "noise": "scale", "gate_loss": "sum", "statistics": "kept"}
    assert {name: annealed[name] for name in expected} == expected


def test_running_statistics_are_a_setting_of_every_strategy_with_unlabelled_images() -> None:
    for cell in ALT("pocket").with_setting("statistics", "moved").make_cells(DATA):
        expected = None if str(cell.axes["method"]).startswith("SL") else "moved"
        assert cell.method_settings.get("statistics") == expected


def test_a_setting_that_only_left_out_arms_have_is_told() -> None:
    supervised = ALT("pocket").narrow_axis("method", ["SL"])
    assert supervised.describe_unused_setting("gate_loss") == "gate_loss: no training of this grid has this setting; it is one of ALT"
    assert not supervised.describe_unused_setting("lr") and not ALT("pocket").describe_unused_setting("gate_loss")
    ciao = STUDIES.find("ciao")("pocket").narrow_axis("network", ["DL"])
    assert not ciao.describe_unused_setting("identity"), "the network that it starts from has the setting"


def test_the_ablation_sets_what_its_axes_say() -> None:
    gate = STUDIES.find("annealed_label_transfer_gate")
    assert len(gate("pocket").make_cells(DATA)) == 3 * 2 * 2 * 3
    cells = gate("paper").narrow_axis("encoder", ["pocket"]).with_seeds(1).make_cells(DATA)
    assert len(cells) == 3 * 2 * 2 * 3 * 6
    for cell in cells:
        assert cell.method == "annealed_label_transfer" and cell.method_settings["slope"] == float(str(cell.axes["slope"]))
        for name in ("gate_loss", "statistics", "noise"):
            assert cell.method_settings[name] == cell.axes[name]


def test_the_published_rows_are_the_tables_two_best() -> None:
    rows = {tuple(row.condition.values()): row for row in ALT("paper").published}
    assert len(rows) == 9, "two networks in four scenarios, and one for children"
    assert all(row.best == "ALT" for row in rows.values())
    first = rows["webplus", "alexnet"]
    assert (first.best_score, first.runner_up, first.runner_up_score) == (82.38, "PL+ALRAO", 80.6)
    assert rows["children", "alexnet"].runner_up_score == 90.29


def meaning(**settings: Any) -> dict[str, dict[Any, dict[str, Any]]]:
    """Return meanings by which every scenario stands for these settings."""
    return {"scenario": {scenario: settings for scenario in SCENARIOS}}


WRONG: list[tuple[Callable[[Study], Any], str]] = [
    (lambda s: s.with_setting("labelled", {}), r"^labelled is set by the axis scenario; choose among its values with --only scena"),
    (lambda s: s.with_setting("with_gate", True), r"^with_gate is set by the axis method; choose among its values with --only me"),
    (lambda s: s.with_setting("encoder", "vgg16"), r"^encoder is an axis of annealed_label_transfer: choose"),
    (lambda s: s.narrow_axis("scenario", ["wide"]), r"^unknown value of axis scenario 'wide'; did you mean wild\?"),
    (
        lambda s: replace(s, meanings=meaning(labeled={"wild": SEVEN})),
        r"^labeled, set by axis scenario of annealed_label_transfer, is a setting of neither task transfer nor method labelled$",
    ),
    (
        lambda s: replace(s, meanings=meaning(labelled={"wilde": SEVEN})),
        r"^unknown role of annealed_label_transfer 'wilde'; did you mean wild\?",
    ),
    (lambda s: s.with_setting("temperature", 0), r"^setting temperature=0 of method annealed_label_transfer: input should be greater tha"),
    (lambda s: s.with_setting("cooling", 1.5), r"^setting cooling=1\.5 of method annealed_label_transfer: input should be less than or"),
]


@pytest.mark.parametrize(("ask", "message"), WRONG)
def test_a_wrong_request_is_one_line(ask: Callable[[Study], Study], message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        ask(ALT("pocket")).make_cells(DATA)
    assert "\n" not in str(caught.value)
