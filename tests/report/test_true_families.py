"""What a report concludes about winners, families and conditions that lack trainings, on simulated results."""

import re
from pathlib import Path

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from platform.report import wording
from platform.report.claim_tests import test_claims as answer_claims
from platform.report.comparison_families import compare_all_pairs, compare_overall, compare_winner
from platform.report.contrasts import compute_contrasts
from platform.report.findings import compute_findings
from platform.report.runs_table import Design, Runs
from platform.stats.significance import adjust_holm
from search_spaces.claims import Claim, Contrast
from tests.report.test_true_claims import CLEAR, bound, make_runs, read_page


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
