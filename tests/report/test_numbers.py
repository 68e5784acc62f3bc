"""Compare the report's numbers with scipy, statsmodels and plain arithmetic on runs.csv, without the report's own functions."""

import statistics
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from tests.report.pages import Report

EVERY = stats.PermutationMethod(n_resamples=np.inf)  # type: ignore[arg-type]


def scores(report: Report, arm: str, condition: dict[str, Any], metric: str = "test/accuracy") -> np.ndarray:
    """Return the scores in the order of the seeds, from the table."""
    rows = [row for row in report.table if row["method"] == arm and all(float(row[axis]) == value for axis, value in condition.items())]
    return np.array([float(row[metric]) for row in sorted(rows, key=lambda row: int(row["seed"]))])


def test_means_and_intervals(whole: Report) -> None:
    assert len(whole.data["cells"]) == 4 * 2 * 2
    for cell in whole.data["cells"]:
        for name, metric in (("metric", "test/accuracy"), ("selector", "val/accuracy"), ("secondary", "test/balanced_accuracy")):
            sample = scores(whole, cell["arm"], cell["condition"], metric).tolist()
            low, high = stats.t.interval(0.95, 7, statistics.fmean(sample), stats.sem(sample))
            assert (cell[name]["mean"], cell[name]["sd"], cell[name]["n"]) == pytest.approx(
                (statistics.fmean(sample), statistics.stdev(sample), 8)
            )
            assert (cell[name]["low"], cell[name]["high"]) == pytest.approx((low, high))
        assert cell["done"] == 8 and cell["failed"] == cell["missing"] == 0


def test_as_published(whole: Report) -> None:
    rows = whole.rows("published")
    assert [row["condition"] for row in rows] == [{"split": 0.5, "ratio": 5}, {"split": 0.9, "ratio": 5}]
    for row in rows:
        means = {arm: scores(whole, arm, row["condition"]).mean() for arm in whole.data["axes"]["method"]}
        second, best = sorted(means, key=lambda arm: means[arm])[-2:]
        x, y = scores(whole, best, row["condition"]), scores(whole, second, row["condition"])
        oracle = stats.mannwhitneyu(x, y, alternative="greater", method=EVERY)
        assert (row["a"], row["b"], row["selected_by"], row["alternative"]) == (best, second, "test/accuracy", "greater")
        assert (
            (row["statistic"], row["p"]) == pytest.approx((oracle.statistic, oracle.pvalue)) and row["p_adj"] is None and not row["paired"]
        )
        assert row["diff"] == pytest.approx(x.mean() - y.mean())
        assert (row["diff_low"], row["diff_high"]) == pytest.approx(tuple(stats.ttest_ind(x, y, equal_var=False).confidence_interval()))


CONDITIONS = [{"split": split, "ratio": ratio} for split in (0.5, 0.9) for ratio in (1, 5)]


def check_t_test(row: dict[str, Any], x: np.ndarray, y: np.ndarray) -> None:
    """Compare a paired comparison with scipy's t test of the scores, its power and its posterior."""
    d, oracle = x - y, stats.ttest_rel(x, y)
    assert row["paired"] and row["test"] == "paired t" and (row["n_a"], row["n_b"]) == (len(d), len(d))
    assert (row["diff"], row["statistic"], row["p"]) == pytest.approx((d.mean(), oracle.statistic, oracle.pvalue))
    assert (row["diff_low"], row["diff_high"]) == pytest.approx(tuple(oracle.confidence_interval()))
    posterior = stats.t(len(d) - 1, d.mean(), stats.sem(d))
    chances = posterior.cdf(-0.01), posterior.cdf(0.01) - posterior.cdf(-0.01), posterior.sf(0.01)
    assert (row["probably_worse"], row["probably_equal"], row["probably_better"]) == pytest.approx(chances, abs=1e-9)
    assert row["p_equivalence"] == pytest.approx(max(posterior.cdf(-0.01), posterior.sf(0.01)))


def test_confirmatory(whole: Report) -> None:
    rows = whole.rows("confirmatory")
    assert len(rows) == 2
    for row in rows:
        means = {arm: scores(whole, arm, row["condition"], "val/accuracy").mean() for arm in whole.data["axes"]["method"]}
        second, best = sorted(means, key=lambda arm: means[arm])[-2:]
        x, y = scores(whole, best, row["condition"]), scores(whole, second, row["condition"])
        assert (row["a"], row["b"], row["selected_by"], row["m"]) == (best, second, "val/accuracy", 2)
        check_t_test(row, x, y)
        flips = stats.permutation_test((x - y,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True)  # type: ignore[call-overload]
        assert row["p_flip"] == pytest.approx(flips.pvalue)
        assert row["p_rank"] == pytest.approx(stats.mannwhitneyu(x, y, method=EVERY).pvalue)
        assert row["a12"] == pytest.approx(np.mean([(a > b) + (a == b) / 2 for a in x for b in y]))
        assert row["a12_low"] <= row["a12"] <= row["a12_high"]
        assert row["correlation"] == pytest.approx(np.corrcoef(x, y)[0, 1])
        d = TTestPower().solve_power(nobs=8, alpha=0.025, power=0.8, alternative="two-sided")
        assert row["mde"] == pytest.approx(d * np.std(x - y, ddof=1), rel=1e-3)
    assert [row["p_adj"] for row in rows] == pytest.approx(multipletests([row["p"] for row in rows], method="holm")[1])
    equivalence = multipletests([row["p_equivalence"] for row in rows], method="holm")[1]
    assert [row["p_equivalence_adj"] for row in rows] == pytest.approx(equivalence)


def test_every_pair(whole: Report) -> None:
    arms, rows = whole.data["axes"]["method"], whole.data["pairwise"]
    for condition in CONDITIONS:
        selected = [row for row in rows if row["condition"] == condition]
        assert sorted(sorted((row["a"], row["b"])) for row in selected) == sorted(map(sorted, combinations(arms, 2)))
        for row in selected:
            check_t_test(row, scores(whole, row["a"], condition), scores(whole, row["b"], condition))
        assert [row["p_adj"] for row in selected] == pytest.approx(multipletests([row["p"] for row in selected], method="fdr_bh")[1])
    assert len(rows) == 4 * 6


def average(report: Report, arm: str, conditions: list[dict[str, Any]], metric: str = "test/accuracy") -> np.ndarray:
    """Return each seed's mean over the conditions."""
    return np.mean([scores(report, arm, condition, metric) for condition in conditions], axis=0)


def test_the_winner_over_all_conditions(whole: Report) -> None:
    (row,) = whole.rows("winner")
    means = {arm: average(whole, arm, CONDITIONS, "val/accuracy").mean() for arm in whole.data["axes"]["method"]}
    second, best = sorted(means, key=lambda arm: means[arm])[-2:]
    assert (row["a"], row["b"], row["m"], row["p_adj"]) == (best, second, 1, row["p"])
    check_t_test(row, average(whole, best, CONDITIONS), average(whole, second, CONDITIONS))


def test_claims_as_a_whole_and_under_each_condition(whole: Report) -> None:
    claims = {claim["text"]: claim for claim in whole.data["claims"]}
    poor = "without labels the representation is poor: UC(c) is below SC(c)"
    parts = whole.rows(f"claim: {poor}")
    assert [row["condition"] for row in parts] == CONDITIONS
    assert [row["p_adj"] for row in parts] == pytest.approx(multipletests([row["p"] for row in parts], method="holm")[1])
    whole_rows = {row["a"] + row["b"]: row for row in whole.rows("claims")}
    together = whole_rows["SC(c)UC(c)"]
    check_t_test(together, average(whole, "SC(c)", CONDITIONS), average(whole, "UC(c)", CONDITIONS))
    adjusted = multipletests([row["p"] for row in whole.rows("claims")], method="holm")[1]
    assert [row["p_adj"] for row in whole.rows("claims")] == pytest.approx(adjusted)
    assert claims[poor]["standing"] == ("supported" if together["p_adj"] <= 0.05 else "open")
    assert claims["adults as augmentations beat SL(c+a)"]["standing"] == "not in this grid"
    larger = whole_rows["ratio 5ratio 1"]
    assert larger["diff"] > 0  # the fake run is made so
    assert claims["a larger ratio helps"]["verdict"] == larger["verdict"] == ("better" if larger["p_adj"] <= 0.05 else "inconclusive")
    arms = whole.data["axes"]["method"]
    sides = [np.mean([average(whole, arm, [at for at in CONDITIONS if at["ratio"] == ratio]) for arm in arms], axis=0) for ratio in (5, 1)]
    check_t_test(whole_rows["ratio 5ratio 1"], *sides)
    for row in whole.rows("claim: it helps more where training images are few"):
        small, large = ({"split": split} for split in (0.5, 0.9))
        arm = row["condition"]["method"]
        gain = [scores(whole, arm, {**at, "ratio": 5}).mean() - scores(whole, arm, {**at, "ratio": 1}).mean() for at in (small, large)]
        assert row["diff"] == pytest.approx(gain[0] - gain[1])


def test_across_conditions_and_agreement(whole: Report) -> None:
    reference, arms = whole.data["reference"], whole.data["axes"]["method"]
    assert [row["a"] for row in whole.rows("overall")] == [arm for arm in arms if arm != reference]
    for row in whole.rows("overall"):
        check_t_test(row, average(whole, row["a"], CONDITIONS), average(whole, reference, CONDITIONS))
    # The scores have picked the reference, so that the family has all six pairs of the four arms.
    ordered = sorted(whole.rows("overall"), key=lambda row: row["p"])
    assert ordered[0]["p_adj"] == pytest.approx(min(1, 6 * ordered[0]["p"])) and {row["m"] for row in ordered} == {6}
    for row in whole.data["agreement"]:
        val, test = ([scores(whole, arm, row["condition"], metric).mean() for arm in arms] for metric in ("val/accuracy", "test/accuracy"))
        assert row["spearman"] == pytest.approx(stats.spearmanr(val, test).statistic)
        assert row["regret"] == pytest.approx(max(test) - test[int(np.argmax(val))])
        assert row["optimism"] == pytest.approx(max(val) - test[int(np.argmax(val))])


def test_by_who_is_on_the_image(whole: Report, finished: Any) -> None:
    folder, cells = finished
    rows = whole.data["groups"]
    assert {row["fact"] for row in rows} == {"sex", "age", "mouth_open"} and all(
        row["condition"] == {"split": 0.9, "ratio": 5} for row in rows
    )
    for row in (row for row in rows if row["fact"] == "sex"):
        shares, images = [], []
        for cell in cells:
            if cell.axes | {"method": row["arm"], "split": 0.9, "ratio": 5} == cell.axes:
                predictions = folder.get_predictions(cell.key)
                in_group = predictions["sex"] == row["group"]
                shares.append(float((predictions["probabilities"].argmax(1) == predictions["label"])[in_group].mean()))
                images.append(int(in_group.sum()))
        low, high = stats.t.interval(0.95, 7, np.mean(shares), stats.sem(shares))
        over = row["over_replicates"]
        assert (row["images"], over["mean"], over["low"], over["high"]) == pytest.approx((np.mean(images), np.mean(shares), low, high))
        assert row["image_low"] < over["mean"] < row["image_high"]
    assert {row["group"] for row in rows if row["fact"] == "mouth_open"} == {"no", "yes"}
    assert sorted({row["group"] for row in rows if row["fact"] == "age"}) == ["1. 2 to 4", "2. 4 to 6", "3. 6 to 8"]
