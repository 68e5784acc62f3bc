"""What a report concludes, beyond the numbers that it computes: verdicts, families, power and coverage on simulated results."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from platform.report import wording
from platform.report.build_report_files import build_report_files
from platform.report.claim_tests import test_claims as answer_claims
from platform.report.comparison_families import compare_all_pairs, compare_overall, compare_winner, compare_with_reference
from platform.report.comparisons import Comparison
from platform.report.findings import compute_findings
from platform.report.runs_table import Design, Runs
from platform.stats.power import compute_power, find_needed_replicates
from search_spaces.claims import FIRST, LAST, Claim
from tests.report.pages import Page


def make_runs(scores: dict[str, Any], paired: bool = True, val: dict[str, Any] | None = None, **design: Any) -> Runs:
    """Return runs of scores [conditions, seeds] by arm. `paired`: all arms of a seed and condition have the same split."""
    rows = []
    for arm, values in scores.items():
        for condition, line in enumerate(np.atleast_2d(np.asarray(values, dtype=float))):
            for seed, score in enumerate(line):
                row = {"method": arm, "place": f"c{condition}", "seed": seed, "test": score, "state": "done", "reason": ""}
                row |= {"val": np.atleast_2d(val[arm])[condition][seed]} if val else {}
                rows.append(row | {"split_hash": f"{condition}-{seed}" if paired else ""})
    selector = "val" if val else None
    table = pd.DataFrame(rows)
    return Runs(Design("t", "t", "method", "seed", ("place",), metric="test", selector=selector, percent=False, **design), table)


def read_page(runs: Runs) -> str:
    return Page(build_report_files(runs, compute_findings(runs), with_figures=False)["index.html"].decode()).text


def bound(rate: float, studies: int) -> float:
    """Return what a relative frequency exceeds with a probability below 1e-4 if it is `rate` in truth."""
    return float(rate + 4 * (rate * (1 - rate) / studies) ** 0.5)


CLEAR = {"A": [0.50, 0.52, 0.49, 0.55, 0.51], "B": [0.70, 0.72, 0.69, 0.75, 0.71]}


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("noise", [0.0, 0.004])
def test_more_information_removes_no_verdict(paired: bool, noise: float) -> None:
    """B is above A by .20 in each of five seeds. Sign flips of five pairs cannot reach .05, whatever the data."""
    scores = {"A": CLEAR["A"], "B": np.array(CLEAR["B"]) + noise * np.array([1, -1, 0, 2, -1])}
    runs = make_runs(scores, paired)
    (row,) = compare_winner(runs)
    assert (row.a, row.verdict, row.a12) == ("B", "better", 1) and row.p < 1e-3 and (not paired or row.p_flip == 0.0625)
    page = read_page(runs)
    assert "unattainable" not in page and "no data" not in page and "B (best on test) is better than A" in page


@settings(max_examples=40)
@given(st.integers(3, 9), st.integers(1, 30), st.booleans(), st.integers(0, 99))
def test_every_number_of_seeds_from_three_on_can_decide(seeds: int, arms: int, paired: bool, noise: int) -> None:
    """However large the family, a difference that is large enough is called better."""
    rng = np.random.default_rng(noise)
    scores = {f"M{arm}": rng.normal(0, 1e-4, (2, seeds)) + (1.0 if arm == 0 else 0.0) for arm in range(arms + 1)}
    runs = make_runs(scores, paired, baseline="M1")
    (winner,) = compare_winner(runs)
    assert (winner.a, winner.verdict, winner.m) == ("M0", "better", arms)
    rows = compare_with_reference(runs, "M1")
    assert {row.verdict for row in rows if row.a == "M0"} == {"better"}


@pytest.mark.parametrize("seeds", [3, 5, 7, 10])
@pytest.mark.parametrize("paired", [True, False])
def test_the_power_on_the_page_is_that_of_the_test_that_is_made(seeds: int, paired: bool) -> None:
    rng = np.random.default_rng(seeds)
    runs = make_runs({"A": rng.normal(0, 1, seeds), "B": rng.normal(0, 1, seeds)}, paired)
    (row,) = compare_winner(runs)
    detectable = row.mde / row.sd
    deviation = 2**-0.5 if paired else 1.0  # of a score, so that the differences have a standard deviation of 1
    studies, better = 500, 0
    for _ in range(studies):
        scores = {"A": rng.normal(0, deviation, seeds), "B": rng.normal(detectable, deviation, seeds)}
        (simulated,) = compare_winner(make_runs(scores, paired))
        better += simulated.verdict == "better" and simulated.a == "B"
    assert better / studies == pytest.approx(0.8, abs=0.08)
    assert find_needed_replicates(detectable, paired) == pytest.approx(seeds, rel=1e-6)  # both numbers of the page agree
    assert compute_power(detectable, seeds, None if paired else seeds) == pytest.approx(0.8)


def test_interval_and_p_are_of_one_procedure() -> None:
    """Seven points with a clear mean: an interval of 1.4 to 3.2 beside a p of .18 says two things."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        scores = {arm: rng.normal(rng.choice([0, 1]), 1, (2, 5)) for arm in "ABC"}
        runs = make_runs(scores, bool(rng.integers(2)))
        for row in (*compare_winner(runs), *compare_overall(runs, "A"), *compare_all_pairs(runs)):
            assert (row.p <= 0.05) == (row.diff_low > 0 or row.diff_high < 0)


@pytest.mark.parametrize("correlation", [0.0, 0.25, 0.5])
def test_a_seed_counts_once_over_all_conditions(correlation: float) -> None:
    """8 conditions and 3 seeds. Flips within conditions, which count each training, reject .28 and .40 of equal arms at .25 and .5."""
    rng, studies, claim = np.random.default_rng(8), 600, Claim("A is better", {"method": "A"}, {"method": "B"})
    wrong, covered = 0, 0
    for _ in range(studies):
        shared = correlation**0.5 * rng.normal(0, 1, (1, 3))
        differences = shared + (1 - correlation) ** 0.5 * rng.normal(0, 1, (8, 3))
        level = rng.normal(0, 1, (8, 3))
        (answer,) = answer_claims(make_runs({"A": level + differences, "B": level}, claims=(claim,)))
        assert answer.whole and answer.whole.n_a == 3
        wrong += answer.whole.verdict != "inconclusive"
        covered += answer.whole.diff_low <= 0 <= answer.whole.diff_high
    assert wrong / studies <= bound(0.05, studies) and covered / studies >= 1 - bound(0.05, studies)


def test_a_shown_equivalence_supports_a_claim_of_equivalence() -> None:
    """A difference of .29 points with an interval of .24 to .35 and a margin of 1: it is not 0, and too small to matter."""
    noise = np.array([-0.5, 0.3, 0.1, -0.2, 0.3])
    scores = {"A": 0.602945 + 0.0013 * noise + 0.01 * np.arange(5), "B": 0.6 + 0.01 * np.arange(5)}
    claims = tuple(Claim(text, {"method": "A"}, {"method": "B"}, expect=text) for text in ("equivalent", "better"))  # type: ignore[arg-type]
    equal, better = answer_claims(make_runs(scores, claims=claims, rope=0.01))
    assert equal.whole and [round(100 * end, 2) for end in (equal.whole.diff, equal.whole.diff_low, equal.whole.diff_high)] == [
        0.29,
        0.24,
        0.35,
    ]
    assert equal.whole and equal.whole.verdict == "better" and equal.whole.is_equivalent and equal.standing == "supported"
    assert better.standing == "supported" and "too small to matter" in better.note
    (nothing,) = answer_claims(make_runs({"A": scores["A"] + 0.1, "B": scores["B"]}, claims=claims[:1], rope=0.01))
    assert nothing.standing == "contradicted"


def test_a_claim_of_equivalence_is_contradicted_only_beyond_the_margin() -> None:
    """A difference of .8 points that is not 0 may be too small to matter: with a margin of 1 the claim is open."""
    level, noise = 0.6 + 0.01 * np.arange(6), 0.004 * np.array([1, -1, 0.5, -0.5, 1, -1])
    claim = Claim("equal", {"method": "A"}, {"method": "B"}, expect="equivalent")
    standings = []
    for shift in (0.008, 0.03):
        (answer,) = answer_claims(make_runs({"A": level + shift + noise, "B": level}, claims=(claim,), rope=0.01))
        assert answer.whole and answer.whole.verdict == "better" and not answer.whole.is_equivalent
        standings.append(answer.standing)
    assert standings == ["open", "contradicted"]


def test_contradicted_equivalences_are_a_family() -> None:
    """Four true differences of just the margin, which are not 0: one is called larger in .10 of studies where nothing is adjusted."""
    rng, studies, wrong = np.random.default_rng(31), 400, 0
    claims = tuple(Claim(f"{arm} is equal", {"method": arm}, {"method": "X"}, expect="equivalent") for arm in "ABCD")
    for _ in range(studies):
        scores = {arm: rng.normal(0.01, 0.001, 8) for arm in "ABCD"} | {"X": rng.normal(0, 1e-9, 8)}
        answers = answer_claims(make_runs(scores, claims=claims, rope=0.01))
        wrong += any(answer.standing == "contradicted" for answer in answers)
    assert wrong / studies <= 0.05 + 2 * (0.05 * 0.95 / studies) ** 0.5
    raw = []
    for arm in "ABCD":
        d = scores[arm] - scores["X"]
        sides = stats.ttest_1samp(d, 0.01, alternative="greater").pvalue, stats.ttest_1samp(d, -0.01, alternative="less").pvalue
        raw.append(min(1, 2 * min(sides)))
    assert [answer.p_beyond for answer in answers] == pytest.approx(multipletests(raw, method="holm")[1])
    page = read_page(make_runs(scores, claims=claims, rope=0.01))
    assert f"of a difference beyond the margin {wording.format_probability(answers[0].p_beyond)}" in page


def test_a_claimed_range_is_held_against_the_interval_and_is_no_test_of_the_family() -> None:
    noise = 0.001 * np.array([1, -1, 0.5, -0.5, 1, -1])
    level = 0.6 + 0.01 * np.arange(6)
    claims = (
        Claim("A leads B by 2 to 3 points", {"method": "A"}, {"method": "B"}, between=(0.02, 0.03)),
        Claim("A beats B", {"method": "A"}, {"method": "B"}),
    )
    standings = {}
    for shift in (0.025, 0.0, 0.05, 0.0205, -0.025):
        ranged, plain = answer_claims(make_runs({"A": level + shift + noise, "B": level}, claims=claims, rope=0.01))
        assert ranged.whole and plain.whole and plain.whole.m == 1 and ranged.whole.verdict == "not tested" and not ranged.parts
        assert ranged.whole.diff == pytest.approx(plain.whole.diff) and ranged.whole.diff_low == plain.whole.diff_low
        standings[shift] = ranged.standing
    assert standings == {0.025: "supported", 0.0: "contradicted", 0.05: "contradicted", 0.0205: "open", -0.025: "contradicted"}
    page = read_page(make_runs({"A": level + 0.025 + noise, "B": level}, claims=claims, rope=0.01))
    assert "A leads B by 2 to 3 points" in page and "By its 95 % interval." in page


def test_claimed_ranges_hold_together() -> None:
    """Three true ranges of almost no width. By 95 % intervals one of them at least would be contradicted in .14 of studies."""
    rng, studies, wrong = np.random.default_rng(21), 300, 0
    claims = tuple(Claim(f"{arm} is as good as X", {"method": arm}, {"method": "X"}, between=(-1e-9, 1e-9)) for arm in "ABC")
    for _ in range(studies):
        scores = {arm: rng.normal(0, 1, 6) for arm in "ABC"} | {"X": rng.normal(0, 1e-6, 6)}
        answers = answer_claims(make_runs(scores, claims=claims))
        wrong += any(answer.standing == "contradicted" for answer in answers)
    assert wrong / studies <= bound(0.05, studies)
    row = answers[0].whole
    assert row and answers[0].remarks == ["by its 98.33 % interval, which holds for the 3 claimed ranges together"]
    d = scores["A"] - scores["X"]
    assert (row.diff_low, row.diff_high) == pytest.approx(stats.t.interval(1 - 0.05 / 3, 5, d.mean(), stats.sem(d)))
    assert all(np.isnan(each) for each in (row.p, row.p_flip, row.p_rank, row.p_equivalence))  # no test of a difference of 0


def test_the_one_value_of_an_axis_is_its_last_but_no_two_ends() -> None:
    """With one ratio, "A beats B at the largest ratio" can be tested, and "a larger ratio helps" cannot."""
    level = 0.6 + 0.01 * np.arange(6)
    claims = (
        Claim("A beats B at the last place", {"method": "A", "place": LAST}, {"method": "B", "place": LAST}),
        Claim("the last place is better", {"place": LAST}, {"place": FIRST}),
    )
    scores = {"A": level + 0.05 + 0.001 * np.array([1, -1, 0.5, -0.5, 1, -1]), "B": level}
    assert [answer.standing for answer in answer_claims(make_runs(scores, claims=claims))] == ["supported", "not in this grid"]
    two = {arm: [values, values + 0.1] for arm, values in scores.items()}
    assert [answer.standing for answer in answer_claims(make_runs(two, claims=claims))] == ["supported", "supported"]


def test_the_luckiest_runner_up_is_not_equivalent_by_luck() -> None:
    """Six arms are one margin below the best. The runner-up is the luckiest of them, so a test of it alone is wrong in .15."""
    rng, studies, wrong = np.random.default_rng(7), 300, 0
    for _ in range(studies):
        scores = {f"M{arm}": (0.01 if arm == 0 else 0.0) + rng.normal(0, 0.01, (1, 10)) for arm in range(7)}
        (row,) = compare_winner(make_runs(scores, val=scores, rope=0.01))
        wrong += row.is_equivalent and "M0" in (row.a, row.b)
    assert wrong / studies <= bound(0.05, studies)


@pytest.mark.parametrize(("seeds", "spread"), [(2, 1e-4), (2, 0.0), (5, 0.0)])
def test_two_seeds_or_no_spread_show_no_equivalence(seeds: int, spread: float) -> None:
    level = 0.5 + 0.01 * np.arange(seeds)
    runs = make_runs({"A": level + spread * np.arange(seeds), "B": level}, rope=0.01)
    rows: list[Comparison] = [*compare_winner(runs), *compare_all_pairs(runs)]
    assert {row.verdict for row in rows} == {"not tested" if seeds == 2 else "inconclusive"} and not any(row.is_equivalent for row in rows)
    assert "surely" not in read_page(runs)


def test_equivalence_is_adjusted_within_its_family() -> None:
    rng, lost = np.random.default_rng(5), 0
    for _ in range(10):
        scores = {f"M{arm}": 0.5 + rng.normal(0, 0.01, (3, 6)) for arm in range(5)}
        family = compare_overall(make_runs(scores, rope=0.01, baseline="M0"), "M0")
        adjusted = multipletests([row.p_equivalence for row in family], method="holm")[1]
        assert [row.p_equivalence_adj for row in family] == pytest.approx(adjusted)
        assert all((row.verdict == "equivalent") <= (row.p_equivalence_adj <= 0.05) for row in family)
        lost += sum(row.p_equivalence <= 0.05 < row.p_equivalence_adj for row in family)
    assert lost
