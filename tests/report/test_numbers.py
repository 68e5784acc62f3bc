"""Compare the report's numbers with scipy, statsmodels and plain arithmetic on runs.csv, without the report's own functions."""

import statistics
from itertools import permutations
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


def test_confirmatory(whole: Report) -> None:
    rows = whole.rows("confirmatory")
    assert len(rows) == 2
    for row in rows:
        means = {arm: scores(whole, arm, row["condition"], "val/accuracy").mean() for arm in whole.data["axes"]["method"]}
        second, best = sorted(means, key=lambda arm: means[arm])[-2:]
        x, y = scores(whole, best, row["condition"]), scores(whole, second, row["condition"])
        flips = stats.permutation_test((x - y,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True)  # type: ignore[call-overload]
        assert (row["a"], row["b"], row["selected_by"]) == (best, second, "val/accuracy")
        assert row["paired"] and row["test"] == "sign flip, exact" and row["p"] == pytest.approx(flips.pvalue)
        assert row["p_rank"] == pytest.approx(stats.mannwhitneyu(x, y, method=EVERY).pvalue)
        signed = stats.wilcoxon(x - y, zero_method="pratt", method=EVERY)
        assert row["p_signed_rank"] == pytest.approx(signed.pvalue)
        assert (row["diff_low"], row["diff_high"]) == pytest.approx(tuple(stats.ttest_rel(x, y).confidence_interval()))
        assert row["a12"] == pytest.approx(np.mean([(a > b) + (a == b) / 2 for a in x for b in y]))
        assert row["a12_low"] <= row["a12"] <= row["a12_high"]
        assert row["correlation"] == pytest.approx(np.corrcoef(x, y)[0, 1])
        d = TTestPower().solve_power(nobs=8, alpha=0.025, power=0.8, alternative="two-sided")
        assert row["mde"] == pytest.approx(d * np.std(x - y, ddof=1), rel=1e-3)
        wider = 140 / 210  # the fake run's test and training images
        half = stats.t.ppf(0.975, 7) * np.std(x - y, ddof=1) * (1 / 8 + wider) ** 0.5
        assert (row["corrected_low"], row["corrected_high"]) == pytest.approx((row["diff"] - half, row["diff"] + half))
    assert [row["p_adj"] for row in rows] == pytest.approx(multipletests([row["p"] for row in rows], method="holm")[1])


def test_every_ordered_pair_one_and_two_sided(whole: Report) -> None:
    arms, rows = whole.data["axes"]["method"], whole.data["pairwise"]
    for condition in [{"split": split, "ratio": ratio} for split in (0.5, 0.9) for ratio in (1, 5)]:
        for alternative in ("greater", "two-sided"):
            selected = [row for row in rows if row["condition"] == condition and row["alternative"] == alternative]
            assert sorted((row["a"], row["b"]) for row in selected) == sorted(permutations(arms, 2))
            for row in selected:
                x, y = scores(whole, row["a"], condition), scores(whole, row["b"], condition)
                flips = stats.permutation_test(
                    (x - y,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True, alternative=alternative
                )  # type: ignore[call-overload]
                assert row["p"] == pytest.approx(flips.pvalue) and row["statistic"] == pytest.approx((x - y).mean())
                assert (row["diff_low"], row["diff_high"]) == pytest.approx(tuple(stats.ttest_rel(x, y).confidence_interval()))
            once = selected if alternative == "greater" else [row for row in selected if arms.index(row["a"]) < arms.index(row["b"])]
            assert [row["p_adj"] for row in once] == pytest.approx(multipletests([row["p"] for row in once], method="fdr_bh")[1])
    assert len(rows) == 4 * 2 * 12


def test_claims_as_a_whole_and_under_each_condition(whole: Report) -> None:
    claims = {claim["text"]: claim for claim in whole.data["claims"]}
    poor = "without labels the representation is poor: UC(c) is below SC(c)"
    parts = whole.rows(f"claim: {poor}")
    assert [row["condition"] for row in parts] == [{"split": split, "ratio": ratio} for split in (0.5, 0.9) for ratio in (1, 5)]
    differences = [scores(whole, "SC(c)", row["condition"]) - scores(whole, "UC(c)", row["condition"]) for row in parts]
    assert [row["p_adj"] for row in parts] == pytest.approx(multipletests([row["p"] for row in parts], method="holm")[1])
    whole_rows = {row["a"] + row["b"]: row for row in whole.rows("claims")}
    together = whole_rows["SC(c)UC(c)"]
    assert together["diff"] == pytest.approx(np.mean(differences)) and together["n_a"] == 32
    flips = stats.permutation_test(  # the mean over conditions is the mean of all 32, so flips within conditions are flips of all
        (np.concatenate(differences),), np.mean, permutation_type="samples", n_resamples=99_999, vectorized=True, rng=1
    )
    assert together["p"] == pytest.approx(flips.pvalue, abs=0.01)
    assert claims[poor]["standing"] == ("supported" if together["p_adj"] <= 0.05 else "open")
    assert claims["adults as augmentations beat SL(c+a)"]["standing"] == "not in this grid"
    assert claims["a larger ratio helps"]["verdict"] == "better"  # the fake run is made so
    gains = whole.rows("claim: it helps more where training images are few")
    for row in gains:
        small, large = ({"split": split} for split in (0.5, 0.9))
        arm = row["condition"]["method"]
        gain = [scores(whole, arm, {**at, "ratio": 5}).mean() - scores(whole, arm, {**at, "ratio": 1}).mean() for at in (small, large)]
        assert row["diff"] == pytest.approx(gain[0] - gain[1])


def test_across_conditions_and_agreement(whole: Report) -> None:
    reference = whole.data["reference"]
    conditions = [{"split": split, "ratio": ratio} for split in (0.5, 0.9) for ratio in (1, 5)]
    assert [row["arm"] for row in whole.data["overall"]] == [arm for arm in whole.data["axes"]["method"] if arm != reference]
    for row in whole.data["overall"]:
        difference = np.mean([scores(whole, row["arm"], at).mean() - scores(whole, reference, at).mean() for at in conditions])
        assert row["across"]["difference"] == pytest.approx(difference)
        assert row["across"]["low"] < row["across"]["difference"] < row["across"]["high"]
    for row in whole.data["agreement"]:
        val, test = (
            [scores(whole, arm, row["condition"], metric).mean() for arm in whole.data["axes"]["method"]]
            for metric in ("val/accuracy", "test/accuracy")
        )
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
