"""Search spaces: what Optuna and hyperopt draw from them, against each other and against the space's own definition; bad spaces."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import hyperopt
import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from platform.cli.application import make_application
from platform.search import __main__ as search
from platform.search.condition_search import make_condition_searches
from platform.search.searchers import make_domain, read_document, suggest_at_random
from search_spaces import annealed_label_transfer, ciao
from search_spaces.search_space import Choice, Fixed, OneOf, Range, Real, Space, Whole
from search_spaces.space_tree import Parameters, check_space, find_parameters, join_elements, list_ends, list_parameters, make_settings
from search_spaces.study import STUDIES
from trainables.cell import Data
from trainables.registry import BadRequest

DRAWS = 2000
SMALL: Space = {"depth": Whole(1, 3), "how": OneOf(("a", "b", None)), "share": Real(-1, 1), "width": Whole(3, 5, log=True)}
SPACES: dict[str, Space] = {"small": SMALL, "ciao": ciao.SEARCH.space, **annealed_label_transfer.SPACES}
UNLIKELY = 1e-4
"""p-value below which frequencies differ; the draws are seeded, so that the test always has the same outcome"""


def draw_by_optuna(space: Space) -> list[Parameters]:
    return [suggest_at_random(space, [], seed) for seed in range(DRAWS)]


def draw_by_hyperopt(space: Space) -> list[Parameters]:
    documents = hyperopt.rand.suggest(list(range(DRAWS)), make_domain(space), hyperopt.Trials(), 7)
    return [read_document(space, document) for document in documents]


def share_below(limits: Real | Whole, value: float) -> float:
    """Return the probability, by the definition of a range, of a number up to `value`."""
    low, high = float(limits.low), float(limits.high)
    if isinstance(limits, Whole) and not limits.log:
        return (value - low + 1) / (high - low + 1)
    if isinstance(limits, Whole):
        low, high, value = low - 0.5, high + 0.5, value + 0.5
    return math.log(value / low) / math.log(high / low) if limits.log else (value - low) / (high - low)


def count_in_bins(limits: Range, values: list[Any]) -> tuple[list[int], list[float]]:
    """Return numbers of values and their expected shares: by value, or in at most ten bins of a range."""
    if isinstance(limits, OneOf):
        counts = Counter(map(repr, values))
        return [counts[repr(value)] for value in limits.values], [1 / len(limits.values)] * len(limits.values)
    points = np.array([limits.low + (limits.high - limits.low) * (k / 10) ** (3 if limits.log else 1) for k in range(11)])
    if isinstance(limits, Whole):
        points = np.array([limits.low - 1, *np.unique(points.astype(int))])
        points = points if limits.high - limits.low > 10 else np.arange(limits.low - 1, limits.high + 1)
    below = [0.0, *(share_below(limits, point) for point in points[1:])]
    counted = [sum(1 for value in values if value <= point) for point in points[1:]]
    return list(np.diff([0, *counted])), list(np.diff(below))


@pytest.mark.parametrize("name", SPACES)
def test_both_libraries_draw_what_the_space_says(name: str) -> None:
    space = SPACES[name]
    drawn = [draw_by_optuna(space), draw_by_hyperopt(space)]
    for parameter, limits in list_parameters(space).items():
        by_library = [[draw[parameter] for draw in draws if parameter in draw] for draws in drawn]
        present = [[len(values), DRAWS - len(values)] for values in by_library]
        if present[0][1] or present[1][1]:
            assert stats.chi2_contingency(present).pvalue > UNLIKELY, (parameter, present)
        tables = []
        for values in by_library:
            counts, shares = count_in_bins(limits, values)
            assert sum(counts) == len(values) > 100, parameter
            assert stats.chisquare(counts, np.array(shares) * len(values)).pvalue > UNLIKELY, (parameter, counts, shares)
            tables.append(counts)
        assert stats.chi2_contingency(tables).pvalue > UNLIKELY, (parameter, tables)
        if isinstance(limits, Real):
            for values in by_library:
                assert stats.kstest(values, np.vectorize(lambda value, limits=limits: share_below(limits, value))).pvalue > UNLIKELY


def test_an_integer_from_1_to_3_is_each_of_them_as_often() -> None:
    """Ray's adapter of hyperopt rounded a uniform number instead: 153, 306 and 141 of 600."""
    for draws in (draw_by_optuna(SMALL), draw_by_hyperopt(SMALL)):
        counts = Counter(draw["depth"] for draw in draws)
        assert set(counts) == {1, 2, 3} and all(abs(count / DRAWS - 1 / 3) < 0.05 for count in counts.values()), counts


@pytest.mark.parametrize("name", SPACES)
def test_a_suggestion_has_the_parameters_of_its_path_and_no_others(name: str) -> None:
    for draw in (draw_by_optuna(SPACES[name])[:200] + draw_by_hyperopt(SPACES[name]))[:400]:
        if name == "ciao":
            assert ("momentum" in draw) == ("nesterov" in draw) == (draw["optimizer"] == "SGD")
            assert [f"head.units.{layer}" in draw for layer in (1, 2, 3)] == [layer <= draw["head.layers"] for layer in (1, 2, 3)]  # type: ignore[operator]
        if name == "alt":
            settings = make_settings(SPACES[name], draw)
            assert ("slope" in draw) == ("gate_loss" in draw) == (draw["margin"] == "annealed") == (settings["slope"] > 0)
            assert "margin" not in settings
        shapes = [list(end) for end in list_ends(SPACES[name])]
        assert list(draw) in shapes, "the ends that are tried before a search miss a path"


@pytest.mark.parametrize("name", SPACES)
def test_settings_and_parameters_are_translated_both_ways(name: str) -> None:
    space = SPACES[name]
    for draw in draw_by_optuna(space)[:100]:
        nested: dict[str, Any] = {}
        for setting, value in join_elements(make_settings(space, draw)).items():
            first, _, rest = setting.partition(".")
            nested = nested | {first: nested.get(first, {}) | {rest: value}} if rest else nested | {setting: value}
        assert find_parameters(space, nested) == draw


def test_the_published_head_is_in_the_space() -> None:
    """One number of units stands for every layer."""
    head: dict[str, Any] = {"pool": True, "layers": 2, "units": 512, "dropout": 0.5, "activation": "relu"}
    settings: dict[str, Any] = {"head": head, "lr": 0.008, "temperature": 0.05, "batch": 128}
    settings |= {"optimizer": "SGD", "momentum": 0.4, "nesterov": True}
    found = find_parameters(ciao.SEARCH.space, settings)
    assert found is not None and (found["head.units.1"], found["head.units.2"], found["momentum"]) == (512, 512, 0.4)
    assert "head.units.3" not in found
    assert find_parameters(ciao.SEARCH.space, settings | {"lr": 0.9}) is None
    assert find_parameters(ciao.SEARCH.space, settings | {"optimizer": "Adagrad"}) is None


@pytest.mark.parametrize("scale", ["paper", "pocket"])
@pytest.mark.parametrize("name", ["ciao", "annealed_label_transfer"])
def test_every_space_contains_the_studys_own_settings(name: str, scale: Any) -> None:
    """They are the first suggestion under every condition. The ends of all ranges are valid, too, or no search would be made."""
    study = STUDIES.find(name)(scale)
    data = {role: Data(source, source.to_text(), role) for role, source in study.roles.items()}
    searches = make_condition_searches(study, data)
    assert searches and all(condition_search.published for condition_search in searches)


def make_cycle() -> Space:
    options: dict[Any, Space] = {"SGD": {}, "Adam": {}}
    options["SGD"]["optimizer"] = Choice(options)
    return {"optimizer": Choice(options)}


BAD: list[tuple[Any, str]] = [
    ({"temprature": Real(0.1, 1)}, "did you mean temperature"),
    ({"augmentation.scal": Real(0.1, 1)}, "augmentation.scal"),
    ({"noise": OneOf(())}, "the choice noise is empty"),
    ({"noise": Choice({})}, "the choice noise is empty"),
    ({"slope": Real(2, 0.1)}, "slope from 2 to 0.1: the lower end must come first"),
    ({"batch": Whole(32, 16)}, "batch from 32 to 16: the lower end must come first"),
    ({"slope": Real(0, float("nan"))}, "both must be finite"),
    ({"slope": Real(0, 1, log=True)}, "a logarithmic range begins above 0"),
    ({"slope": Real(0, 1), "noise": Choice({"scale": {"slope": Real(0, 1)}, "logits": {}})}, "slope is twice on one path"),
    ({"noise": Choice({"scale": {"slope": Fixed(0)}, "logits": {}}), "slope": Real(0, 1)}, "slope is twice on one path"),
    ({"noise": Choice({"scale": {"noise": Fixed(0)}, "logits": {}})}, "noise is twice on one path"),
    ({"noise": Choice({"scale": {"slope": Real(0, 1)}, "logits": {"slope": Real(0, 2)}})}, "slope has two ranges"),
    ({"milestones.2": Real(0, 1)}, "milestones: has the elements 2"),
    (make_cycle(), "optimizer is twice on one path"),
]


@pytest.mark.parametrize(("space", "said"), BAD)
def test_a_bad_space_is_one_line(space: Space, said: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annealed_label_transfer, "SEARCHES", (replace(annealed_label_transfer.SEARCHES[0], space=space),))
    options = ["annealed_label_transfer", "--only", "scenario=wild", "--runs", str(tmp_path)]
    outcome = CliRunner().invoke(make_application(search.main), options)
    assert outcome.exit_code == 2 and said in outcome.output.splitlines()[-1], outcome.output
    *notes, _ = outcome.output.splitlines()
    assert "Traceback" not in outcome.output and all("a test part that is the same for every seed" in note for note in notes)


def test_siblings_may_share_a_name() -> None:
    check_space({"noise": Choice({"scale": {"slope": Real(0, 1)}, "logits": {"slope": Real(0, 1)}, "literal": {"slope": Fixed(0)}})})


def test_a_list_without_its_first_element_is_refused() -> None:
    assert join_elements({"a.2": 5, "b": 1, "a.1": 4}) == {"b": 1, "a": [4, 5]}
    with pytest.raises(BadRequest, match="begin at 1"):
        join_elements({"a.2": 5})
