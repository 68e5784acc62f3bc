"""Tests of the report's small parts: which samples are paired, and how numbers are written."""

import math

import pandas as pd
import pytest

from platform.report.comparisons import compare_arms
from platform.report.figure_axes import find_score_span
from platform.report.inline_svg import MOST_DOTS, render_dot_strip
from platform.report.runs_table import Design, Runs, Sample, match_samples
from platform.report.wording import Unit, define_metric, format_hours, format_probability, format_replicates, spell_metric
from platform.stats.significance import t_interval


def sample(scores: dict[int, float], split: str = "s{}") -> Sample:
    return Sample(scores, {seed: split.format(seed) for seed in scores})


def runs(**columns: list) -> Runs:
    table = pd.DataFrame({"state": "done", "reason": "", "split_hash": "", **columns})
    return Runs(Design("t", "t", "method", "seed", (), metric="test", selector=None, percent=False), table)


def test_pairs_are_found_by_replicate_not_by_place() -> None:
    a, b = sample({0: 0.0, 1: 10.0, 2: 20.0}), sample({2: 21.0, 1: 11.0, 0: 1.0})
    x, y, paired = match_samples(a, b)
    assert paired and (x - y).tolist() == [-1, -1, -1]
    row = compare_arms(runs(method=["A"], seed=[0], test=[1.0]), "f", {}, [("A", a), ("B", b)], "two-sided", "all shown")
    assert row.diff == -1 and row.note == "the paired differences do not vary: compared as unpaired"


def test_equal_seeds_on_other_splits_are_no_pairs() -> None:
    a = sample({0: 0.1, 1: 0.2, 2: 0.3})
    assert not match_samples(a, sample({0: 0.1, 1: 0.2, 2: 0.3}, "other {}"))[2]
    assert (
        not match_samples(a, sample({0: 0.1, 1: 0.2, 2: 0.3}, ""))[2] and not match_samples(sample({0: 0.1}, ""), sample({0: 0.1}, ""))[2]
    )
    few = Sample({0: 0.1, 1: 0.2, 2: 0.3}, {0: "s0", 1: "x", 2: "y"})  # one of three is shared: pairing would discard most
    assert not match_samples(a, few)[2] and len(match_samples(a, few)[1]) == 3


@pytest.mark.parametrize(
    ("p", "written"),
    [
        (0.0499, "0.0499"),
        (1e-9, "< 0.0001"),
        (0.0, "< 0.0001"),
        (0.5, "0.5"),
        (1.0, "1"),
        (0.00012345, "0.000123"),
        (math.nan, "–"),
        (None, "–"),
    ],
)
def test_no_p_is_ever_zero(p: float | None, written: str) -> None:
    assert format_probability(p) == written


def test_digits_follow_the_spread() -> None:
    for spread, written in ((1.5, "2.0"), (0.015, "2.000"), (150.0, "2")):
        table = runs(method=["A"] * 40, seed=list(range(40)), test=[2 - spread, 2 + spread] * 20)
        assert Unit.from_runs(table).format_value(2.0) == written
    still = runs(method=["A"] * 3, seed=[0, 1, 2], test=[2.0] * 3)
    assert Unit.from_runs(still).format_value(2.0) == "2.00"
    for score, sd, parts in ((2e-9, 1e-9, ("2e−09", "+2e−09")), (1e300, 1e299, ("1e+300", "+1e+300")), (1e300, 0.0, ("1e+300", "+1e+300"))):
        unit = Unit.from_runs(runs(method=["A"] * 2, seed=[0, 1], test=[score - sd, score + sd]))
        assert (unit.format_value(score), unit.format_difference(score)) == parts and unit.format_interval(
            -score, score
        ) == f"−{parts[0]} to {parts[1]}"
    assert (
        Unit(True).format_value(1e300) == "1e+302"
        and Unit(True).format_value(-1e-9) == "0.0"
        and Unit(True).format_difference(-0.0) == "+0.0"
    )
    assert format_replicates(12345.0) == "12,345" and format_replicates(math.inf) == "more than 1,000,000" and format_hours(math.inf) == "–"
    assert Unit(True).format_difference(-0.0123) == "−1.2" and Unit(True).format_interval(math.nan, 1.0) == "–"


def test_digits_are_those_of_the_trainings_that_did_not_diverge() -> None:
    """One training or a whole arm may lie anywhere; and a pair of differences of .01 has two digits beside a training of 1e9."""
    usual = [0.60, 0.62, 0.61, 0.65, 0.63, 0.64]
    for scores in (usual, [*usual[:5], 1e9], [*usual[:5], -1e300], [*usual[:3], 5e8, 6e8, 9e8]):
        table = runs(method=["A"] * 3 + ["B"] * 3, seed=[0, 1, 2] * 2, test=scores)
        unit = Unit.from_runs(table)
        assert (unit.format_value(0.6), unit.format_difference(-0.0123)) == ("0.600", "−0.012")
        assert unit.format_value(2e8) == ("2e+08" if max(scores) in (0.65, 1e9) else "200000000.000")
    one_seed = runs(method=list("ABCDEF"), seed=[0] * 6, test=[*usual[:5], 1e9])
    assert Unit.from_runs(one_seed).format_value(0.6) == "0.600"


def test_metrics_are_spoken() -> None:
    assert [spell_metric(name) for name in ("test/accuracy", "val/balanced_accuracy", "val", "my_loss")] == [
        "test accuracy",
        "validation balanced accuracy",
        "validation",
        "my_loss",
    ]
    assert define_metric("test/balanced_accuracy") == "test average accuracy (mean recall over classes, balanced accuracy)"
    assert define_metric("test/loss") == "test loss"


def test_a_few_replicates_are_dots_and_very_many_their_quartiles() -> None:
    assert render_dot_strip([(seed, seed / 10) for seed in range(11)], 0, 1, "#000").count("<circle") == 11
    many = render_dot_strip([(seed, float(seed)) for seed in range(MOST_DOTS + 1)], 0, MOST_DOTS, "#000")
    assert many.count("<circle") == 0 and many.count("<rect") == 1


def test_equal_replicates_stand_on_one_place() -> None:
    for score in (0.5, 1e300, 1e-300):
        above = score * (1 + 2**-52)
        drawn = render_dot_strip([(0, score), (1, above)], score, above, "#000")
        assert drawn.count('cx="3.0"') == 2 and "nan" not in drawn


def test_an_axis_holds_what_is_drawn_and_a_share_ends_at_100() -> None:
    assert find_score_span([t_interval([0.9, 0.95, 1.0])], 100, True)[1] == 100
    for scores in ([1e298, 2e298], [-1e300, 1e300], [1e-300, 2e-300], [0.5, 0.5 + 2**-53]):
        mean, low, high, *_ = t_interval(scores)
        for factor, percent in ((100, True), (1, False)):
            bottom, top = find_score_span([t_interval(scores)], factor, percent)
            assert bottom < factor * mean < top and ((bottom <= factor * low and factor * high <= top) or percent)
