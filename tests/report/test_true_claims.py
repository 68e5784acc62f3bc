"""What a report concludes, beyond the numbers that it computes: verdicts, families, power and coverage on simulated results."""

import re
from pathlib import Path
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
from platform.report.contrasts import compute_contrasts
from platform.report.findings import compute_findings
from platform.report.runs_table import Design, Runs
from platform.stats.power import compute_power, find_needed_replicates
from platform.stats.significance import adjust_holm
from search_spaces.claims import FIRST, LAST, Claim, Contrast
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


@pytest.mark.parametrize("selection", ["test", "val", "own val"])
def test_the_best_of_thirty_is_not_called_better_than_a_baseline_by_luck(selection: str) -> None:
    """README's example has no validation column. Tested like one method named beforehand, the winner is wrongly better in .22 to .24."""
    rng, studies, wrong = np.random.default_rng(1), 300, 0
    for _ in range(studies):
        scores = {f"M{arm}": rng.normal(0, 1, (1, 5)) for arm in range(30)}
        val = {arm: (0.7 * values if selection == "val" else 0) + rng.normal(0, 0.7, (1, 5)) for arm, values in scores.items()}
        (row,) = compare_winner(make_runs(scores, val=None if selection == "test" else val, baseline="M0"))
        wrong += row.verdict != "inconclusive"
        assert row.m == 29 and (row.a == "M0" or row.b == "M0")
    assert wrong / studies <= bound(0.05, studies)


@pytest.mark.parametrize("baseline", ["M0", None])
def test_families_of_ragged_tables_have_what_could_have_been_selected(baseline: str | None) -> None:
    """Six methods have trainings at the first place, three at the second, and of these one has too few seeds for a test."""
    scores = {f"M{arm}": np.random.default_rng(arm).normal(-10 if arm == 2 else 0, 1, (2, 5)) for arm in range(6)}
    runs = make_runs(scores, val=scores, baseline=baseline, rope=0.5)
    at_second, arm = runs.table["place"] == "c1", runs.table["method"]
    runs.table.loc[at_second & arm.isin(["M3", "M4", "M5"]), "state"] = "missing"
    runs.table.loc[at_second & (arm == "M2") & (runs.table["seed"] > 1), "state"] = "missing"
    found = compute_findings(Runs(runs.design, runs.table))
    tested = [row for row in found.confirmatory if not np.isnan(row.p)]
    assert {row.m for row in found.confirmatory} == {5 + 2 if baseline else len(tested)} and tested
    assert [row.p_adj for row in tested] == pytest.approx(adjust_holm([row.p for row in tested], 7 if baseline else 0))
    equal = [row.p_equivalence for row in tested]
    assert [row.p_equivalence_adj for row in tested] == pytest.approx(adjust_holm(equal, 7))
    assert {row.m for row in found.winner} == {2 if baseline else 1} and {row.m for row in found.overall} == {1 if baseline else 3}


def test_a_winner_by_the_tested_scores_is_called_exploratory() -> None:
    page = read_page(make_runs(CLEAR))
    assert "; exploratory" in page and "Confirmatory" not in page and "By the test scores" in page
    assert "exploratory" not in read_page(make_runs(CLEAR, val=CLEAR)).partition("Condition by condition")[0].replace(
        "(all pairs, exploratory)", ""
    )


def test_the_winner_is_picked_on_seeds_that_all_arms_have() -> None:
    """B failed on the two hard seeds. On the others A is better by .02, though B's mean of its own seeds is higher."""
    level = np.array([0.7, 0.72, 0.71, 0.73, 0.2, 0.22])
    scores = {"A": level + 0.02 + 0.001 * np.arange(6), "B": level}
    runs = make_runs(scores, val=scores)
    runs.table.loc[(runs.table["method"] == "B") & (runs.table["seed"] > 3), "state"] = "failed"
    (row,) = compare_winner(Runs(runs.design, runs.table))
    assert (row.a, row.b, row.n_a) == ("A", "B", 4) and row.diff > 0


def test_an_arm_that_lacks_a_condition_is_named() -> None:
    rng = np.random.default_rng(3)
    scores = {arm: rng.normal(0, 1, (3, 5)) + (5 if arm == "B" else 0) for arm in "ABC"}
    runs = make_runs(scores, val=scores)
    runs.table.loc[(runs.table["method"] == "B") & (runs.table["place"] == "c2"), "state"] = "failed"
    runs = Runs(runs.design, runs.table)
    (row,) = compare_winner(runs)
    assert "B" not in (row.a, row.b) and "without a score at every condition, so left out: B" in row.note
    page = read_page(runs)
    assert "so left out: B." in page.partition("Across conditions")[0] and "it has no score at some condition: B." in page


def test_winner_and_reference_are_one_arm() -> None:
    """B wins by its mean, A in two of three conditions."""
    base = np.random.default_rng(1).normal(0, 0.01, (3, 5))
    scores = {"A": base + np.array([0.1, 0.1, 0.0])[:, None], "B": base + np.array([0.0, 0.0, 0.9])[:, None]}
    findings = compute_findings(make_runs(scores, val=scores))
    assert findings.winner[0].a == findings.reference == "B" and {row.b for row in findings.against} == {"B"}


@pytest.mark.parametrize("state", ["failed", "missing"])
def test_a_claim_whose_trainings_are_not_done_is_in_the_grid(state: str) -> None:
    """`not in this grid` is said of a value that the grid lacks. B has no score in one of four conditions, then in none."""
    level = np.random.default_rng(9).normal(0.5, 0.05, (4, 5))
    gains = np.array([0.1, 0.2, 0.3, 0.4])[:, None] + np.random.default_rng(8).normal(0, 0.01, (4, 5))
    claims = (Claim("A is better", {"method": "A"}, {"method": "B"}), Claim("A beats C", {"method": "A"}, {"method": "C"}))
    runs = make_runs({"A": level + gains, "B": level}, claims=claims)
    runs.table.loc[(runs.table["method"] == "B") & (runs.table["place"] == "c3"), "state"] = state
    runs = Runs(runs.design, runs.table)
    answer, absent = answer_claims(runs)
    assert answer.whole and answer.whole.diff == pytest.approx(gains[:3].mean()) and len(answer.parts) == 3
    assert (answer.standing, absent.standing) == ("supported", "not in this grid")
    assert answer.remarks == ["1 of its 4 conditions left out, without comparable trainings"]
    assert "1 of its 4 conditions left out, without comparable trainings." in read_page(runs).partition("What was found")[2]
    runs.table.loc[runs.table["method"] == "B", "state"] = state
    assert [answer.standing for answer in answer_claims(Runs(runs.design, runs.table))] == ["no comparable trainings", "not in this grid"]


def test_a_measure_without_trainings_is_named() -> None:
    level = np.random.default_rng(4).normal(0.5, 0.05, (2, 5))
    measures = {"place": {"c0": "accuracy", "c1": "correlation"}}
    claim = Claim("A is better", {"method": "A"}, {"method": "B"})
    runs = make_runs({"A": level + 0.1 + level / 10, "B": level}, claims=(claim,), measures=measures)
    runs.table.loc[runs.table["place"] == "c1", "state"] = "failed"
    answers = answer_claims(Runs(runs.design, runs.table))
    assert [(answer.claim.text, answer.standing) for answer in answers] == [
        ("A is better (accuracy)", "supported"),
        ("A is better (correlation)", "no comparable trainings"),
    ]


def test_a_claim_says_what_stands_behind_it() -> None:
    rng = np.random.default_rng(9)
    gains = np.array([0.5, 0.4, -0.1, 0.6])[:, None] + rng.normal(0, 0.01, (4, 5))
    level = rng.normal(0, 0.05, (4, 5))
    runs = make_runs({"A": level + gains, "B": level}, claims=(Claim("A is better", {"method": "A"}, {"method": "B"}),))
    runs.table["flags"] = ""
    runs.table.loc[(runs.table["method"] == "A") & (runs.table["seed"] == 0), "flags"] = "collapsed: spread 0.02"
    (answer,) = answer_claims(Runs(runs.design, runs.table))
    assert answer.standing == "supported"
    assert answer.remarks == ["trainings with warnings: a 4 of 20", "the difference has the other sign in 1 of 4 conditions"]


def test_a_pair_without_a_test_is_in_no_family() -> None:
    """Arm C has two seeds. Its pairs have no p; they neither get p = 1 nor count among the tests."""
    rng = np.random.default_rng(2)
    runs = make_runs({arm: rng.normal(number, 1, 6) for number, arm in enumerate("ABC")})
    runs.table.loc[(runs.table["method"] == "C") & (runs.table["seed"] > 1), "state"] = "failed"
    runs = Runs(runs.design, runs.table)
    rows = {row.a + row.b: row for row in compare_all_pairs(runs)}
    assert len(rows) == 3
    tested = [row for row in rows.values() if not np.isnan(row.p)]
    assert len(tested) == 1 and tested[0].p_adj == tested[0].p and {row.m for row in rows.values()} == {1}
    assert all(np.isnan(row.p_adj) for row in rows.values() if row.verdict == "not tested")
    page = read_page(runs)  # C is best, so the page has one row, which is not tested
    assert "here none of these comparisons could be tested" in page and "Holm's method over" not in page.partition("As published")[2][:3000]


@pytest.mark.parametrize("correlation", [0.0, 0.25, 0.5])
def test_intervals_over_conditions_cover(correlation: float) -> None:
    """Percentile intervals of a bootstrap over 4 conditions x 5 seeds cover .906, .86 and .77 of true differences."""
    rng, studies, hits, total = np.random.default_rng(12), 250, 0, 0
    for _ in range(studies):
        effects = {arm: number * 0.3 for number, arm in enumerate("ABCD")}
        shares = correlation**0.5, (1 - correlation) ** 0.5
        scores = {
            arm: effect + shares[0] * rng.normal(0, 1, (1, 5)) + shares[1] * rng.normal(0, 1, (4, 5)) for arm, effect in effects.items()
        }
        for row in compare_overall(make_runs(scores, baseline="A"), "A"):
            hits += row.diff_low <= effects[row.a] <= row.diff_high
            total += 1
    assert 1 - bound(0.05, studies) <= hits / total <= 0.98


def test_a_detectable_difference_is_never_nothing() -> None:
    unit = wording.Unit(False, 2)
    assert unit.format_amount(0.0004) == "0.0004" and unit.format_amount(0.004) == "0.004" and unit.format_amount(0.0) == "0.00"
    assert unit.format_amount(0.124) == "0.12" and wording.Unit(True).format_amount(0.00003) == "0.003 points"


def test_measures_are_not_averaged_with_one_another() -> None:
    """Accuracies of one data set and correlations of another: A gains where it is measured by accuracy, and loses by correlation."""
    rng = np.random.default_rng(4)
    gains = np.array([0.1, 0.1, -0.1])[:, None] + rng.normal(0, 0.01, (3, 5))
    level = rng.normal(0.5, 0.05, (3, 5))
    measures = {"place": {"c0": "accuracy", "c1": "accuracy", "c2": "correlation"}}
    claim = Claim("A is better", {"method": "A"}, {"method": "B"})
    runs = make_runs({"A": level + gains, "B": level}, claims=(claim,), measures=measures)
    answers = answer_claims(runs)
    assert [(answer.claim.text, answer.standing) for answer in answers] == [
        ("A is better (accuracy)", "supported"),
        ("A is better (correlation)", "contradicted"),
    ]
    assert [(row.condition, row.a) for row in compare_winner(runs)] == [({"measure": "accuracy"}, "A"), ({"measure": "correlation"}, "B")]
    assert {str(row.condition) for row in compare_overall(runs, "B")} == {"{'measure': 'accuracy'}", "{'measure': 'correlation'}"}


def test_no_interval_for_other_images_is_invented() -> None:
    """What other test images would add is a line of its own: at 60 % of 150 images, 1.96 sqrt(.6 .4 / 150) = 7.8 points."""
    runs = make_runs({"A": [0.6] * 5, "B": [0.61, 0.6, 0.6, 0.6, 0.59]})
    runs.table["test/accuracy"], runs.table["n_test"] = runs.table.pop("test"), 150
    own = Runs(Design("t", "t", "method", "seed", ("place",), metric="test/accuracy", selector=None), runs.table)
    page = read_page(own)
    assert "corrected" not in page and "Nadeau" not in page
    assert "The choice of 150 test images alone, a typical test set here, moves an accuracy by ± 7.8 points (95 %, binomial)" in page


def test_evidence_is_graded_and_no_verdict(tmp_path: Path) -> None:
    scores = {"A": [0.50, 0.55, 0.52, 0.49, 0.51], "B": [0.53, 0.56, 0.51, 0.53, 0.55]}
    runs = make_runs(scores, val=scores, rope=0.01)
    (row,) = compare_winner(runs)
    assert row.verdict == "inconclusive" and 0.8 < row.probably_better < 0.95 and row.probably_worse < 0.05
    margin = wording.Unit.from_runs(runs).format_amount(0.01)
    chances = [f"{value:.2f}" for value in (row.probably_worse, row.probably_equal, row.probably_better)]
    assert f"worse by more than the margin of {margin}, within it, or better by more: {', '.join(chances)}." in read_page(runs)
    mirrored = compare_overall(make_runs(scores, val=scores, rope=0.01, baseline="B"), "B")[0]
    assert (mirrored.probably_worse, mirrored.probably_better) == pytest.approx((row.probably_better, row.probably_worse))
    assert not re.search(r"\b(surely|certainly|proves)\b", read_page(runs))


def test_contrasts_are_one_family_of_t_tests() -> None:
    rng = np.random.default_rng(6)
    scores = {arm: rng.normal(0, 1, (4, 5)) for arm in "AB"}
    rows = compute_contrasts(make_runs(scores, contrasts=(Contrast("A", "B"),)))
    adjusted = multipletests([row.comparison.p for row in rows], method="holm")[1]
    assert [row.comparison.p_adj for row in rows] == pytest.approx(adjusted) and {row.comparison.test for row in rows} == {"paired t"}
