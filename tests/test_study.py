"""Tests of studies: pocket is the paper's grid made smaller, all cells are distinct, and a request is met or refused in one line."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from search_spaces.claims import FIRST, LAST
from search_spaces.study import STUDIES, Scale, Study
from trainables.cell import Cell, Data
from trainables.data.source import Source
from trainables.registry import BadRequest

Make = Callable[[Scale], Study]
DATA = {role: Data(Source("faces"), f"fingerprint of {role}", role) for role in ("children", "adults")}
ADULTS = STUDIES.find("adults_as_augmentation")


def every(make: Make, scale: Scale) -> list[Cell]:
    study = make(scale)
    return study.make_cells({role: Data(Source("faces"), role, role) for role in study.roles})


def keys(study: Study) -> list[str]:
    return [cell.key for cell in study.make_cells(DATA)]


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in STUDIES.import_all().items()])
def test_pocket_is_the_paper_made_smaller(make: Make) -> None:
    paper, pocket = make("paper"), make("pocket")
    assert (paper.scale, pocket.scale) == ("paper", "pocket")
    assert list(pocket.axes) == list(paper.axes) and list(pocket.arms) == list(paper.arms)
    assert all(pocket.arms[name] == paper.arms[name] for name in paper.axes[paper.compared])
    assert pocket.axes[pocket.compared] == paper.axes[paper.compared] and set(paper.axes[paper.compared]) <= set(paper.arms)
    for axis, values in pocket.axes.items():
        assert set(values) <= set(paper.axes[axis])
    for field in ("name", "title", "source", "task", "roles", "compared", "replicated", "largest", "published", "claims", "printed"):
        assert getattr(pocket, field) == getattr(paper, field)
    assert {pocket.compared, pocket.replicated} <= set(pocket.axes) and (pocket.largest is None or pocket.largest in pocket.condition_axes)


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in STUDIES.import_all().items()])
def test_what_a_study_says_of_its_text_names_its_own_values(make: Make) -> None:
    study = make("paper")
    known = {study.compared: tuple(study.arms), **study.condition_axes}
    for claim in study.claims:
        assert claim.a != claim.b and (claim.a_from is None) == (claim.b_from is None)
        for values in claim.places:
            assert all(value in (FIRST, LAST) or value in known[axis] for axis, value in values.items())
        assert set(claim.a) == set(claim.b)  # both sides leave the same axes open
    for row in study.published:
        assert {row.best, row.runner_up} <= set(study.arms)
        assert all(value in study.condition_axes[axis] for axis, value in row.condition.items())
    for number in (number for table in study.printed for number in table.numbers):
        assert number.arm is None or {number.arm, number.against or number.arm} <= set(study.axes[study.compared])
        assert all(value in (FIRST, LAST) or value in study.condition_axes[axis] for axis, value in number.condition.items())
    places = [(table.name, number.row, number.column) for table in study.printed for number in table.numbers]
    assert len(set(places)) == len(places), "a table has one number in each of its places"
    assert study.baseline is None or study.baseline in study.arms
    assert study.fewer is None or study.fewer in study.condition_axes


@pytest.mark.parametrize("name", ["annealed_label_transfer", "children_cnn"])
def test_the_paper_scale_has_seeds_enough_for_single_conditions(name: str) -> None:
    """The smallest p of n sign flips is 2 / 2^n; the family has all comparisons of a winner that the scores could have selected."""
    study = STUDIES.find(name)("paper")
    largest = study.largest if study.largest and all(isinstance(value, int) for value in study.axes[study.largest]) else None
    conditions = math.prod(len(values) for axis, values in study.condition_axes.items() if axis != largest)
    winners = conditions * (len(study.axes[study.compared]) - 1 if study.baseline else 1)
    family = max(winners, math.prod(map(len, study.condition_axes.values())))  # a claim's, which fixes no condition
    seeds = len(study.axes[study.replicated])
    assert 2 / 2**seeds * family <= 0.05 < 2 / 2 ** (seeds - 1) * family


@pytest.mark.parametrize("scale", ["pocket", "paper"])
@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in STUDIES.import_all().items()])
def test_every_cell_is_another_and_one_seed_of_everything_comes_first(make: Make, scale: Scale) -> None:
    study, cells = make(scale), every(make, scale)
    number = 1
    for values in study.axes.values():
        number *= len(values)
    assert len({cell.key for cell in cells}) == len({cell.name for cell in cells}) == len(cells)
    assert all(list(cell.axes) == list(study.axes) for cell in cells)
    positions = {cell.key: position for position, cell in enumerate(cells)}
    assert all(cell.parent is None or positions[cell.parent] < positions[cell.key] for cell in cells)
    shown = [cell for cell in cells if not study.is_prerequisite(cell)]
    assert len(shown) == number
    per_seed = number // len(study.axes[study.replicated])
    seeds = [cell.axes[study.replicated] for cell in shown]
    assert seeds == [seed for seed in study.axes[study.replicated] for _ in range(per_seed)]


def test_the_papers_grid() -> None:
    paper, pocket = every(ADULTS, "paper"), every(ADULTS, "pocket")
    assert (len(paper), len(pocket)) == (7 * 3 * 4 * 10, 7 * 2 * 2 * 10)
    assert paper[0].name == "SL(c)/split=0.5/ratio=1/seed=0"
    assert not {cell.key for cell in paper} & {cell.key for cell in pocket}


def test_the_papers_settings() -> None:
    """Section 4 of the paper, and our interpretations where it says nothing."""
    cell = every(ADULTS, "paper")[-1]
    expected = {"batch": 32, "epochs": 250, "lr": 0.05, "momentum": 0.9, "probe_epochs": 50, "probe_lr": 1e-4, "hidden": 512}
    expected |= {"projection": 128, "temperature": 0.07, "weight_decay": 1e-4, "milestones": [0.7, 0.8, 0.9], "pool": "fixed"}
    expected |= {
        "budget": "epochs",
        "steps": None,
        "images_seen": None,
        "warm_up": 0.0,
        "partners": "once",
        "probe_pool": "fixed",
        "probe_steps": None,
        "probe_batch": None,
    }
    expected |= {"encoder": "resnet18", "encoder_settings": {"stem": "cifar"}, "domain": "c<-a", "ratio": 20}
    assert {name: cell.method_settings[name] for name in expected} == expected
    assert cell.task_settings["split"] == 0.9 and cell.task_settings["size"] == 48 and cell.task_settings["colour"] == "grey"


def test_axes_and_arms_reach_the_cell() -> None:
    domains = {"SL(c)": "c", "SL(c+a)": "c+a", "UC(c)": "c", "UC(c+a)": "c+a", "SC(c)": "c", "SC(c+a)": "c+a", "SC(c<-a)": "c<-a"}
    for cell in every(ADULTS, "pocket"):
        assert cell.task_settings["split"] == cell.axes["split"] and cell.method_settings["ratio"] == cell.axes["ratio"]
        assert cell.method_settings["domain"] == domains[str(cell.axes["method"])]
        assert cell.seed == cell.axes["seed"]
        assert cell.method == {"SL": "supervised", "UC": "simclr", "SC": "supcon"}[str(cell.axes["method"])[:2]]


def test_narrowed_keeps_the_keys() -> None:
    pocket = ADULTS("pocket")
    small = pocket.narrow_axis("method", ["SC(c<-a)", "SC(c)"]).narrow_axis("split", [".9"]).narrow_axis("ratio", ["5.0"]).with_seeds(2)
    assert [cell.name for cell in small.make_cells(DATA)] == [
        f"{arm}/split=0.9/ratio=5/seed={seed}" for seed in (0, 1) for arm in ("SC(c)", "SC(c<-a)")
    ]
    assert set(keys(small)) < set(keys(pocket))


def test_a_longer_axis_only_adds_cells() -> None:
    pocket = ADULTS("pocket")
    before = set(keys(pocket))
    for longer in (
        pocket.with_seeds(12),
        replace(pocket, axes=pocket.axes | {"ratio": (1, 3, 5, 10)}),
        replace(pocket, axes=pocket.axes | {"split": (0.2, 0.5, 0.9)}),
        replace(
            pocket, axes=pocket.axes | {"method": (*pocket.axes["method"], "again")}, arms=pocket.arms | {"again": pocket.arms["SC(c)"]}
        ),
    ):
        assert before < set(keys(longer))


def test_settings_reach_the_cells_they_belong_to() -> None:
    pocket = ADULTS("pocket")
    changed = pocket.with_setting("augmentation.flip", 0).with_setting("augmentation.scale", [0.5, 1]).with_setting("probe_lr", 0.5)
    changed = changed.with_setting("size", 64).with_setting("momentum", 0)
    for cell, before in zip(changed.make_cells(DATA), pocket.make_cells(DATA), strict=True):
        assert cell.key != before.key
        augmentation = before.method_settings["augmentation"] | {"flip": 0.0, "scale": [0.5, 1.0]}
        expected = before.method_settings | {"augmentation": augmentation, "momentum": 0.0}
        assert cell.method_settings == expected | ({} if cell.method == "supervised" else {"probe_lr": 0.5})
        assert cell.task_settings == before.task_settings | {"size": 64}


def test_a_setting_of_one_method_leaves_the_others_keys() -> None:
    before, after = ADULTS("pocket"), ADULTS("pocket").with_setting("probe_lr", 0.5)
    for old, new in zip(before.make_cells(DATA), after.make_cells(DATA), strict=True):
        assert (old.key == new.key) == (old.method == "supervised")


def test_a_setting_written_as_its_default_changes_nothing() -> None:
    assert keys(ADULTS("pocket").with_setting("augmentation.flip", 0.5).with_setting("momentum", 0.9)) == keys(ADULTS("pocket"))


def test_a_networks_own_setting() -> None:
    cell = ADULTS("paper").with_setting("encoder_settings.stem", "imagenet").make_cells(DATA)[0]
    assert cell.method_settings["encoder_settings"] == {"stem": "imagenet"}
    cell = ADULTS("pocket").with_setting("encoder", "resnet18").with_setting("encoder_settings.stem", "imagenet").make_cells(DATA)[0]
    assert (cell.method_settings["encoder"], cell.method_settings["encoder_settings"]) == ("resnet18", {"stem": "imagenet"})


def test_data_are_told_by_their_content() -> None:
    moved = {role: replace(data, source=Source("cafe", "/elsewhere")) for role, data in DATA.items()}
    changed = DATA | {"adults": replace(DATA["adults"], fingerprint="another")}
    study = ADULTS("pocket")
    assert [cell.key for cell in study.make_cells(moved)] == keys(study)
    assert not {cell.key for cell in study.make_cells(changed)} & set(keys(study))


WRONG: list[tuple[Callable[[Study], Any], str]] = [
    (
        lambda s: s.narrow_axis("methods", ["SC(c)"]),
        r"^unknown axis of adults_as_augmentation 'methods'; did you mean method\? \(known: .*\)$",
    ),
    (lambda s: s.narrow_axis("method", ["SC(c)", "SC(c-a)"]), r"^unknown value of axis method 'SC\(c-a\)'; did you mean SC\(c<?[+-]a\)\?"),
    (lambda s: s.narrow_axis("split", ["0.7"]), r"^unknown value of axis split '0\.7'.* \(known: 0\.5, 0\.9\)$"),
    (lambda s: s.narrow_axis("ratio", ["0"]), r"^unknown value of axis ratio '0'.* \(known: 1, 5\)$"),
    (lambda s: s.narrow_axis("ratio", [""]), r"^unknown value of axis ratio ''"),
    (lambda s: s.with_seeds(0), r"^--seeds 0: at least one$"),
    (lambda s: s.with_seeds(-3), r"^--seeds -3: at least one$"),
    (
        lambda s: s.with_setting("split", 0.7),
        r"^split is an axis of adults_as_augmentation: choose among its values with --only split=\.\.\.$",
    ),
    (lambda s: s.with_setting("domain", "c"), r"^domain is set by the axis method; choose among its values with --only method="),
    (
        lambda s: s.with_setting("epoch", 3),
        r"^unknown setting of adults_as_augmentation 'epoch'; did you mean epochs\? \(known: augmentation, ",
    ),
    (lambda s: s.with_setting("augmentations.flip", 0), r"^unknown setting of adults_as_augmentation 'augmentations\.flip'; did you mean"),
    (lambda s: s.with_setting("augmentation.flop", 0), r"^setting augmentation\.flop=0 of method supervised: unexpected"),
    (lambda s: s.with_setting("lr.x", 0), r"^lr\.x: lr has no settings of its own; set it as a whole$"),
    (lambda s: s.with_setting("epochs", "many"), r"^setting epochs='many' of method supervised: input should be a valid integer"),
    (lambda s: s.with_setting("epochs", 0), r"^setting epochs=0 of method supervised: input should be greater than or equal to 1$"),
    (lambda s: s.with_setting("probe_lr", -1), r"^setting probe_lr=-1 of method simclr: input should be greater than 0$"),
    (lambda s: s.with_setting("lr", float("inf")), r"^setting lr=inf of method supervised: input should be a finite number$"),
    (lambda s: s.with_setting("size", 4), r"^setting size=4 of task balanced: input should be greater than or equal to 8$"),
    (
        lambda s: replace(s, axes=s.axes | {"ratio": (0,)}),
        r"^setting ratio=0 of method supervised: input should be greater than or equal to 1$",
    ),
    (lambda s: STUDIES.find("adults_as_augmentations"), r"^unknown study 'adults_as_augmentations'; did you mean adults_as_augmentation\?"),
]


@pytest.mark.parametrize(("ask", "message"), WRONG)
def test_a_wrong_request_is_one_line(ask: Callable[[Study], Study], message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        ask(ADULTS("pocket")).make_cells(DATA)
    assert "\n" not in str(caught.value)
