"""The section of ranks and interquartile means: which trainings it takes, which way is better, and how it reads."""

import re
import warnings
from itertools import pairwise, product
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from jinja2 import ChoiceLoader, DictLoader
from scipy import stats

from platform.report import page
from platform.report.critical_distance import FONT, LETTER, render_critical_distance
from platform.report.rank_overview import RankOverview, compute_rank_overview
from platform.report.runs_table import Design, Runs
from platform.report.wording import Unit
from tests.report.pages import Page
from tests.report.sound import NO_NUMBER

TABLE = (
    '{% macro arm(name) %}<span class="arm">{{ keys.get(name, "") }} {{ name }}</span>{% endmacro %}{% include "sections/ranks.html.j2" %}'
)


def make_runs(scores: np.ndarray, arms: list[str] | None = None, higher: bool = True, **design: object) -> Runs:
    """Return runs of scores [arms, conditions, seeds]. NaN is a training that failed."""
    names = arms or [f"m{number}" for number in range(len(scores))]
    rows = [
        {"method": names[a], "ratio": c + 1, "seed": s, "test": scores[a, c, s], "state": "failed" if np.isnan(scores[a, c, s]) else "done"}
        for a, c, s in product(*map(range, scores.shape))
    ]
    table = pd.DataFrame(rows).assign(reason="", split_hash="")
    options = {"metric": "test", "selector": None, "percent": False, "higher_is_better": higher} | design
    return Runs(Design("t", "t", "method", "seed", ("ratio",), **options), table)


def compute(scores: np.ndarray, **options: object) -> RankOverview:
    overview = compute_rank_overview(make_runs(scores, **options))
    assert overview is not None
    return overview


def draw_scores(arms: int, conditions: int, seeds: int, step: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(arms * 100 + seeds)
    return rng.normal(0.5, 0.05, (arms, conditions, seeds)) + step * np.arange(arms)[:, None, None]


def render(runs: Runs, overview: RankOverview | None) -> str:
    environment = page._make_environment(runs)
    environment = environment.overlay(loader=ChoiceLoader([DictLoader({"page.html": TABLE}), environment.loader]))
    return environment.get_template("page.html").render(
        f=SimpleNamespace(ranks=overview),
        d=runs.design,
        unit=Unit.from_runs(runs),
        keys={},
        critical_distance=render_critical_distance(overview) if overview else "",
    )


def test_blocks_are_seeds_averaged_over_conditions() -> None:
    scores = draw_scores(4, 3, 6)
    overview = compute(scores)
    means = scores.mean(1)  # [arms, seeds]
    oracle = stats.friedmanchisquare(*means)
    assert (overview.omnibus.chi2, overview.omnibus.chi2_p) == pytest.approx((oracle.statistic, oracle.pvalue))
    ranks = dict(zip(["m0", "m1", "m2", "m3"], stats.rankdata(-means, axis=0).mean(1), strict=True))
    assert {row.arm: row.mean_rank for row in overview.rows} == pytest.approx(ranks)
    assert (overview.n, overview.conditions, overview.left_out_arms, overview.left_out_replicates) == (6, 3, [], [])
    assert overview.critical_distance == pytest.approx(stats.studentized_range.ppf(0.95, 4, np.inf) / 2**0.5 * (20 / 36) ** 0.5)
    for row in overview.rows:
        assert row.iqm.mean == pytest.approx(stats.trim_mean(scores[int(row.arm[1])], 0.25, axis=None))
        assert row.iqm.low < row.iqm.mean < row.iqm.high


def test_a_loss_ranks_upside_down_and_keeps_its_unit() -> None:
    scores = draw_scores(3, 2, 5)
    accuracy, loss = compute(scores), compute(scores, higher=False)
    assert [row.arm for row in accuracy.rows] == ["m2", "m1", "m0"] and [row.arm for row in loss.rows] == ["m0", "m1", "m2"]
    assert [row.mean_rank for row in loss.rows] == [4 - row.mean_rank for row in accuracy.rows[::-1]]
    assert [row.iqm for row in loss.rows] == [row.iqm for row in accuracy.rows[::-1]]
    assert loss.omnibus == pytest.approx(accuracy.omnibus) and loss.permutation_p == accuracy.permutation_p


def test_what_is_incomplete_is_left_out_and_named() -> None:
    scores = draw_scores(4, 2, 6)
    scores[1, 0] = np.nan  # m1 has no score in the first condition
    scores[2, 1, 3] = np.nan  # seed 3 lacks a training of m2
    scores[1, 1, 5] = np.nan  # m1 is left out anyhow
    overview = compute(scores)
    assert overview.left_out_arms == ["m1"] and overview.left_out_replicates == [3] and overview.n == 5
    whole = compute(scores[[0, 2, 3]][:, :, [0, 1, 2, 4, 5]], arms=["m0", "m2", "m3"])
    assert (overview.rows, overview.omnibus, overview.groups) == (whole.rows, whole.omnibus, whole.groups)
    shown = Page(render(make_runs(scores), overview)).text
    assert "Left out, without a score in some condition: m1." in shown and "Left out, because not complete: seed 3." in shown


@pytest.mark.parametrize("shape", [(2, 2, 6), (3, 2, 2), (1, 1, 1)])
def test_two_arms_or_two_seeds_have_no_ranks(shape: tuple[int, int, int]) -> None:
    runs = make_runs(draw_scores(*shape))
    assert compute_rank_overview(runs) is None and render(runs, None).strip() == ""


def test_the_order_of_the_table_changes_nothing() -> None:
    runs = make_runs(draw_scores(4, 2, 6))
    mixed = Runs(runs.design, runs.table.sample(frac=1, random_state=3).reset_index(drop=True))
    first, second = compute_rank_overview(runs), compute_rank_overview(mixed)
    assert first and second and (first.rows, first.groups, first.omnibus) == (second.rows, second.groups, second.omnibus)


def test_means_that_cancel_are_ties() -> None:
    scores = np.array([[[0.3, 0.1, 0.7]] * 3, [[-0.1, 0.2, 0.6]] * 3, [[0.1, 0.3, 0.5]] * 3])
    scores[:2, :, 0] = [[0.1, 0.2, -0.3], [-0.3, 0.1, 0.2]]  # both average to 0, with other rounding errors
    assert 0.1 + 0.2 - 0.3 != -0.3 + 0.1 + 0.2
    ranks = {row.arm: row.mean_rank for row in compute(scores).rows}
    assert ranks == pytest.approx({"m0": (2.5 + 3 + 1) / 3, "m1": (2.5 + 2 + 2) / 3, "m2": (1 + 1 + 3) / 3})


def test_a_diverged_training_and_extreme_numbers_leave_ranks() -> None:
    scores = draw_scores(3, 2, 5)
    expected = {row.arm: row.mean_rank for row in compute(scores).rows}
    scores[2, 0, 0] = 1e300  # m2 is the best anyhow
    assert {row.arm: row.mean_rank for row in compute(scores).rows} == expected
    for size in (1e300, 8e307, 1e-300):
        with warnings.catch_warnings(action="error"):
            runs = make_runs(size * np.linspace(-1, 1, 36).reshape(3, 2, 6))
            overview = compute_rank_overview(runs)
            assert overview and [row.arm for row in overview.rows] == ["m2", "m1", "m0"]
            assert not NO_NUMBER.search(Page(render(runs, overview)).text)


def test_how_it_reads() -> None:
    scores = np.concatenate([draw_scores(3, 2, 10, 0.0), draw_scores(2, 2, 10, 0.0) + 0.5])
    runs = make_runs(scores, arms=["A", "B", "C<-a", "D", "E"], percent=True)
    overview = compute_rank_overview(runs)
    html = render(runs, overview)
    shown = Page(html)
    assert overview and [sorted(group) for group in overview.groups] == [["D", "E"], ["A", "B", "C<-a"]]
    spoken = [f"{overview.rows[0].arm} and {overview.rows[1].arm}", f"{overview.rows[2].arm} to {overview.rows[4].arm}"]
    assert shown.count("details") == 1 and not any("open" in attributes for _, attributes in shown.tags)
    assert shown.count("tr") == 1 + 5 and shown.count("svg") == 1
    for said in (
        "Ranks and interquartile means",
        "describes the trainings and decides no claim",
        "Friedman",
        "Iman and Davenport's F (1980)",
        "Demsar 2006",
        "Agarwal et al. 2021",
        "A block is one seed, its scores averaged over the 2 conditions",
        "(4 degrees of freedom, p < 0.0001)",
        f"the critical distance of {overview.critical_distance:.2f}",
        "Not told apart, which does not mean equal, in the order of the table: " + "; ".join(spoken) + ".",
    ):
        assert said in shown.text, said
    best = overview.rows[0]
    assert f"{100 * best.iqm.mean:.1f} {100 * best.iqm.low:.1f} to {100 * best.iqm.high:.1f}" in shown.text
    assert "C<-a" in shown.text and "C<-a" not in html


def test_all_alike_and_all_equal_read_well() -> None:
    ordered = make_runs(np.arange(3)[:, None, None] + np.zeros((3, 2, 8)))
    shown = Page(render(ordered, compute_rank_overview(ordered))).text
    assert "F (1980) is infinite (2 and 14 degrees of freedom, p < 0.0001)" in shown and not NO_NUMBER.search(shown)
    equal = make_runs(np.ones((3, 2, 8)))
    shown = Page(render(equal, compute_rank_overview(equal))).text
    assert "is 0.00 (2 degrees of freedom, p 1)" in shown and "in the order of the table: m0 to m2." in shown
    assert not NO_NUMBER.search(shown)
    apart = make_runs(draw_scores(3, 1, 60, 1.0))
    assert "critical distance of 0.43 apart. All do." in Page(render(apart, compute_rank_overview(apart))).text


@pytest.mark.parametrize(("arms", "seeds", "step"), [(3, 3, 0.0), (4, 14, 0.03), (7, 20, 0.02), (30, 10, 0.01), (500, 3, 0.0)])
def test_no_two_texts_of_the_diagram_overlap(arms: int, seeds: int, step: float) -> None:
    names = [f"method {'x' * (number % 30)} <{number}>" for number in range(arms)]
    overview = compute(draw_scores(arms, 1, seeds, step), arms=names)
    picture = ElementTree.fromstring(render_critical_distance(overview))
    wide, high = float(picture.attrib["width"]), float(picture.attrib["height"])
    boxes = []
    for text in picture.iter("text"):
        x, y, length = float(text.attrib["x"]), float(text.attrib["y"]), LETTER * len("".join(text.itertext()))
        left = x - length * {"start": 0, "middle": 0.5, "end": 1}[text.attrib.get("text-anchor", "start")]
        boxes.append((left, y - 0.75 * FONT, left + length, y + 0.25 * FONT))
        assert left >= 0 and left + length <= wide and y + 0.25 * FONT <= high, "cut off"
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert not any(left < r and l < right and top < b and t < bottom for l, t, r, b in boxes[:number])  # noqa: E741
    assert [text.text for text in picture.iter("text") if "<" in (text.text or "")] == [f"{row.arm} " for row in overview.rows]


def test_the_diagram_shows_ranks_and_groups() -> None:
    overview = compute(np.concatenate([draw_scores(3, 2, 10, 0.0), draw_scores(3, 2, 10, 0.0) + 0.5]))
    picture = ElementTree.fromstring(render_critical_distance(overview))
    lines = [path.attrib["d"] for path in picture.iter("path")]
    starts = [float(found[1]) for line in lines if (found := re.fullmatch(r"M([\d.]+) \d+V\d+H[\d.]+", line))]
    assert len(starts) == 6 and all(left >= right for left, right in pairwise(starts))  # by rising rank from right to left
    slope = np.diff(starts)
    ranks = np.diff([row.mean_rank for row in overview.rows])
    assert slope == pytest.approx(-ranks * 440 / 5, abs=0.11)
    assert sum(path.attrib.get("stroke-width") == "3.5" for path in picture.iter("path")) == len(overview.groups) > 0
