"""Tests of the calibration of the report's verdicts: its simulated studies, its counts, and a small version of its measurements."""

import json
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from typer.testing import CliRunner

from benchmarks import calibration
from benchmarks.calibration import (
    compare_study,
    compute_candidates,
    compute_true_claims,
    count_families,
    is_false,
    is_false_contradiction,
    is_false_equivalence,
    is_false_range,
    leave_out_companions,
    list_faults,
    measure_power,
    measure_shape,
)
from benchmarks.calibration_shapes import MIXED, SHAPES, build_runs, compute_expected, draw_scores
from platform.report.claim_tests import ClaimAnswer
from platform.report.claim_tests import test_claims as answer_claims
from platform.report.comparisons import Comparison
from platform.stats.power import compute_power
from platform.stats.significance import sign_flip
from search_spaces.claims import Claim


def bound(studies: int, level: float = 0.05, errors: float = 4) -> float:
    """Return the level plus so many standard errors of a share of so many studies."""
    return level + errors * (level * (1 - level) / studies) ** 0.5


@pytest.mark.parametrize("name", ["normal", "icc-.5", "discrete", "unequal", "collapse", "differ", "methods-30"])
def test_few_studies_have_a_false_verdict(name: str) -> None:
    rates = measure_shape(SHAPES[name], 60)
    checked = [family for family in ("claims", "ranges", "winner", "overall", "confirmatory", "contrasts") if family in rates]
    assert len(checked) == (3 if name == "methods-30" else 6)
    for family in checked:
        assert rates[family].mean <= bound(60), family
        assert family == "ranges" or rates[f"{family}: equivalence"].mean <= bound(60), family
    if "claims" in rates:
        assert rates["claims: coverage"].mean >= 0.90 and rates["parts"].mean <= bound(60)


def test_the_bound_is_passed_by_a_test_that_takes_conditions_for_seeds() -> None:
    test = draw_scores(SHAPES["icc-.5"], 300, np.random.default_rng(0)).test
    differences = (test[:, 0] - test[:, 1]).reshape(300, -1)
    assert (stats.ttest_1samp(differences, 0, axis=1).pvalue <= 0.05).mean() > bound(300)


def test_studies_vary_as_their_shape_says() -> None:
    shape = replace(SHAPES["normal"], icc=0.25, effects=MIXED)
    test, validation = draw_scores(shape, 4000, np.random.default_rng(1))
    assert test.shape == (4000, 7, 4, 5)
    assert np.abs(test.mean((0, 3)) - compute_expected(shape)).max() < 0.001
    assert test.var((0, 3)) ** 0.5 == pytest.approx(np.full((7, 4), 8**0.5 / 100), rel=0.03)  # noise and split, 2 points each
    paired = (test[:, 1] - test[:, 0]).transpose(1, 0, 2).reshape(4, -1)
    assert paired.std(1) == pytest.approx(np.full(4, 8**0.5 / 100), rel=0.03)  # without the split's effect
    assert np.corrcoef(paired)[np.triu_indices(4, 1)] == pytest.approx(np.full(6, 0.25), abs=0.03)
    second = (validation[:, 1] - validation[:, 0]).transpose(1, 0, 2).reshape(4, -1)
    assert [np.corrcoef(a, b)[0, 1] for a, b in zip(paired, second, strict=True)] == pytest.approx([0.7] * 4, abs=0.03)


def test_collapses_and_images_are_as_the_shape_says() -> None:
    rng = np.random.default_rng(2)
    collapsed = draw_scores(SHAPES["collapse-in-one"], 500, rng).test
    assert (collapsed[:, 0] == 1 / 7).mean() == pytest.approx(0.1, abs=0.015) and not (collapsed[:, 1:] == 1 / 7).any()
    assert collapsed.mean((0, 3)) == pytest.approx(compute_expected(SHAPES["collapse-in-one"]), abs=0.02)
    images = 150 * draw_scores(SHAPES["discrete"], 100, rng).test
    assert np.abs(images - images.round()).max() < 1e-9


@pytest.mark.parametrize("name", ["normal", "unpaired-seeds-3", "ceiling-seeds-3", "own-seeds"])
def test_what_is_left_out_decides_no_verdict(name: str) -> None:
    runs = build_runs(SHAPES[name], *draw_scores(SHAPES[name], 2, np.random.default_rng(3)))

    def judge() -> list[tuple[object, ...]]:
        rows = []
        for study in range(2):
            runs.select_study(study)
            rows += [answer.whole for answer in answer_claims(runs) if answer.whole]
            rows += [row for families in compare_study(runs, True).values() for family in families for row in family]
        return [(row.family, row.a, row.b, row.verdict, row.diff_low, row.p_adj, row.p_equivalence_adj) for row in rows]

    whole = judge()
    with leave_out_companions():
        assert len(whole) > 200 and repr(judge()) == repr(whole)


def test_the_true_differences_of_claims() -> None:
    shape = replace(SHAPES["normal"], effects=MIXED)
    answers = compute_true_claims(shape, compute_expected(shape))
    found = [round(100 * answer.whole.diff, 6) for answer in answers if answer.whole]
    assert found == [3, 3, 3, 5, 0, 0, 3, 5, 0, 2, 0, 0, 0, 0, 0, 0, 3]  # five of the 22 name ratios or splits that these studies lack


@pytest.mark.parametrize(
    ("verdict", "points", "false"),
    [
        ("better", 0.0, True),
        ("better", -1.0, True),
        ("better", 1.0, False),
        ("worse", 0.0, True),
        ("worse", 1.0, True),
        ("worse", -1.0, False),
        ("inconclusive", 0.0, False),
        ("equivalent", 5.0, False),
        ("not tested", 0.0, False),
    ],
)
def test_false_verdicts_are_counted(verdict: str, points: float, false: bool) -> None:
    row, other = make_row(verdict), make_row("better")
    counts: dict[str, list[float]] = defaultdict(list)
    count_families(counts, "claims", [[row, other]], lambda asked: points / 100 if asked is row else 0.03)
    assert is_false(row, points / 100) is false and counts["claims"] == [float(false)]
    count_families(counts, "pairs", [[row, other]], lambda asked: points / 100 if asked is row else 0.03)
    assert counts["pairs"] == [0.5 if false else 0.0]
    assert counts["claims: reversed"] == [float(false and points != 0)]


def test_false_equivalences_and_contradictions_are_counted() -> None:
    row = replace(make_row("equivalent"), p_equivalence_adj=0.01)
    assert is_false_equivalence(row, 0.01) and is_false_equivalence(row, -0.02) and not is_false_equivalence(row, 0.009)
    assert not is_false_equivalence(make_row("inconclusive"), 0.02)
    same = Claim("the same", {"method": "a"}, {"method": "b"}, expect="equivalent")
    beyond = ClaimAnswer(same, make_row("better"), [], p_beyond=0.04)
    assert is_false_contradiction(beyond, 0.008) and not is_false_contradiction(beyond, 0.012)
    within = ClaimAnswer(same, make_row("better"), [], p_beyond=0.06)
    assert not is_false_contradiction(within, 0.008)  # it is open, because the difference may be too small to matter
    assert not is_false_contradiction(ClaimAnswer(same, row, []), 0.008)
    assert is_false_contradiction(ClaimAnswer(replace(same, expect="better"), make_row("worse"), []), 0.02)


def test_false_ranges_are_counted() -> None:
    claim = Claim("by 2 to 3 points", {"method": "a"}, {"method": "b"}, between=(0.02, 0.03))
    inside, outside, across = (
        ClaimAnswer(claim, replace(make_row("not tested"), diff_low=low, diff_high=high), [])
        for low, high in ((0.021, 0.029), (0.031, 0.05), (0.01, 0.025))
    )
    assert [is_false_range(inside, truth) for truth in (0.025, 0.02, 0.035, 0.0)] == [False, False, True, True]
    assert [is_false_range(outside, truth) for truth in (0.025, 0.04)] == [True, False]
    assert not is_false_range(across, 0.025) and not is_false_range(across, 0.5)


def make_row(verdict: str) -> Comparison:
    return Comparison("claims", {}, "a", "b", "named beforehand", verdict=verdict)


def test_candidates_against_their_oracles() -> None:
    d = np.random.default_rng(4).normal(0.4, 1, (3, 4, 6))
    flip, studentised, t, mixed = compute_candidates(d)
    assert t == pytest.approx(stats.ttest_1samp(d, 0, axis=2).pvalue)
    rng = np.random.default_rng(0)
    assert flip == pytest.approx(np.array([[sign_flip(row, rng).p for row in study] for study in d]))
    assert np.array_equal(flip, studentised)
    for study, row in zip(d, mixed, strict=True):
        table = pd.DataFrame({"d": study.ravel(), "condition": np.repeat(list("abcd"), 6)})
        assert row == pytest.approx(smf.ols("d ~ condition - 1", table).fit().pvalues.to_numpy())
    assert np.array_equal(np.array(compute_candidates(np.ones((1, 4, 3))))[2:], np.ones((2, 1, 4)))


def test_power_is_that_of_the_t_test() -> None:
    for icc, points, found, _ in measure_power(60):
        sd = 8**0.5 * ((1 - icc) / 4 + icc) ** 0.5
        expected = compute_power(points / sd, 5)
        assert found == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 60) ** 0.5)


def test_what_misses_its_aim_is_listed() -> None:
    rate = calibration.Rate
    rates = {"claims": rate(0.08, 0.01), "winner": rate(0.07, 0.01), "published": rate(0.5, 0.01), "parts: coverage": rate(0.9, 0.01)}
    assert [row[1] for row in list_faults(SHAPES["normal"], rates)] == ["claims", "parts: coverage"]
    assert list_faults(SHAPES["collapse-in-one"], rates) == []


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "machine", dict)
    app = calibration.typer.Typer()
    app.command()(calibration.main)
    done = CliRunner().invoke(app, ["--studies", "4", "--only", "collapse,power,candidates"])
    figures = json.loads(done.output.splitlines()[-1])
    assert done.exit_code == 0 and set(figures) == {"collapse", "power", "candidates", "faults", "machine"}
    assert len(figures["candidates"]) == 16 and 0 <= figures["collapse"]["claims"] <= 1
    assert CliRunner().invoke(app, ["--only", "nonsense"]).exit_code == 2
