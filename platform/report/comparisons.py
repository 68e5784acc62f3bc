"""Compares two arms: which is better, how certain that is, and a verdict in one word.

Statistics come from significance.py, samples from Runs. comparison_families.py decides which comparisons are made.
"""

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from platform.report.runs_table import Condition, Runs, Sample, match_samples
from platform.stats import power
from platform.stats import significance as s
from platform.stats.float_ties import is_constant, measure_correlation

ALPHA = 0.05
FEWEST = 3
"""the fewest replicates for which a p is given"""


@dataclass(frozen=True)
class Comparison:
    """Does `a` do better than `b`?

    `diff` is mean(a) - mean(b) in the metric's own unit. `a12` is the probability that a run of a is the better one.
    """

    family: str
    condition: Condition
    a: str
    b: str
    selected_by: str
    n_a: int
    n_b: int
    paired: bool
    test: str
    alternative: s.Alternative
    statistic: float
    p: float
    p_adj: float
    """p adjusted for the family, by Benjamini & Hochberg's method for `pairwise` and by Holm's otherwise; NaN for `published`, which is
    not adjusted"""
    m: int
    """number of tests in the family"""
    a12: float
    a12_low: float
    a12_high: float
    diff: float
    diff_low: float
    diff_high: float
    sd: float
    """standard deviation of the differences if paired, else pooled"""
    mde: float
    """the true difference that this comparison finds with a probability of 80 %, at the family's strictest level"""
    verdict: str
    """on a: better, worse, equivalent, inconclusive or unattainable at this n"""
    note: str
    hodges_lehmann: float
    p_rank: float
    """p of the unpaired exact rank test, whichever the primary test is"""
    p_signed_rank: float
    p_equivalence: float
    correlation: float
    """correlation of the paired scores over replicates"""
    corrected_low: float
    corrected_high: float
    """Nadeau & Bengio's interval of the difference, where replicates redraw training and test sets from one pool"""


Sides = Iterable[tuple[str, Sample]]
"""a and b, each with its name and its sample"""


def compare_arms(
    runs: Runs, family: str, condition: Condition, sides: Sides, alternative: s.Alternative, selected_by: str, companions: bool = True
) -> Comparison:
    """Return one comparison with its raw p.

    It is paired if both sides know their data splits and share them; it then uses the shared replicates only. `companions` adds what is
    shown beside the test: other tests of the same pair, their correlation and the corrected interval.
    """
    (name_a, all_a), (name_b, all_b) = sides
    (x, y, paired), notes = match_samples(all_a, all_b), []
    if paired and (unmatched := len(all_a.values) + len(all_b.values) - 2 * len(x)):
        notes.append(f"{unmatched} without a partner left out")
    elif not paired and any(all_a.splits.values()) and any(all_b.splits.values()):
        notes.append("no shared data splits: unpaired")
    base: dict[str, Any] = dict.fromkeys(Comparison.__dataclass_fields__, np.nan)
    base |= {"family": family, "condition": condition, "a": name_a, "b": name_b, "selected_by": selected_by, "alternative": alternative}
    base |= {"n_a": len(x), "n_b": len(y), "paired": paired, "test": "", "m": 0, "verdict": ""}
    if not (len(x) and len(y)):
        return Comparison(**base | {"note": "; ".join([*notes, "nothing to compare"])})
    oriented_a, oriented_b = runs.sign * x, runs.sign * y
    difference = s.mean_difference(x, y, paired)
    base |= dict(
        zip(
            ("test", "statistic", "p"),
            run_rank_test(oriented_a, oriented_b, paired, alternative, make_pair_generator(condition, name_a, name_b)),
            strict=True,
        )
    )
    base |= dict(zip(("a12", "a12_low", "a12_high"), s.estimate_a12(oriented_a, oriented_b), strict=True))
    base |= {"diff": difference.mean, "diff_low": difference.low, "diff_high": difference.high, "sd": difference.sd}
    base["hodges_lehmann"] = s.hodges_lehmann(x, y, paired)
    if runs.design.rope:
        base["p_equivalence"] = s.compute_equivalence_p(difference, runs.design.rope)
    if companions:
        base["p_rank"] = s.mann_whitney(oriented_a, oriented_b, alternative).p
        if paired:
            base["p_signed_rank"] = s.signed_rank(s.subtract_pairs(oriented_a, oriented_b), alternative).p
            base["correlation"] = measure_correlation(x, y)
            if test_share := _compute_test_share(runs, condition, name_a):
                base["corrected_low"], base["corrected_high"] = s.corrected_t(s.subtract_pairs(x, y), test_share)[1:3]
    if min(len(x), len(y)) < FEWEST:
        base |= dict.fromkeys(("p", "p_rank", "p_signed_rank"), np.nan)
        notes.append(f"fewer than {FEWEST} replicates: no test")
    elif is_constant(np.concatenate([x, y])):
        notes.append("no variance")
    return Comparison(**base | {"note": "; ".join(notes)})


def run_rank_test(
    up: np.ndarray, down: np.ndarray, paired: bool, alternative: s.Alternative, rng: np.random.Generator
) -> tuple[str, float, float]:
    """Return name, statistic and p of the test that fits the pairing, of two samples for which larger is better."""
    if paired:
        flip = s.sign_flip(s.subtract_pairs(up, down), rng, alternative)
        return f"sign flip, {flip.method}", flip.statistic, flip.p
    rank = s.mann_whitney(up, down, alternative)
    return f"Mann-Whitney, {rank.method}", rank.u, rank.p


def settle_family(
    family: list[Comparison], adjust: Callable[[Any], np.ndarray] | None = s.adjust_holm, strict: bool = True
) -> list[Comparison]:
    """Adjust a family's p and give each comparison its verdict. `strict`: power is computed at the level of the family's first step."""
    p_adj = adjust([row.p for row in family]) if adjust else np.full(len(family), np.nan)
    m = sum(not np.isnan(row.p) for row in family)
    return [
        _judge_comparison(row, float(adjusted), m, ALPHA / max(m, 1) if strict else ALPHA)
        for row, adjusted in zip(family, p_adj, strict=True)
    ]


def _judge_comparison(row: Comparison, p_adj: float, m: int, level: float) -> Comparison:
    n_b = None if row.paired else row.n_b
    mde = power.find_detectable_effect(row.n_a, n_b, level, row.alternative) * row.sd if min(row.n_a, row.n_b) else np.nan
    ahead = row.a12 - 0.5 if row.test.startswith("Mann-Whitney") else row.statistic  # oriented; `diff` is not if lower is better
    significant = (row.p if np.isnan(p_adj) else p_adj) <= ALPHA
    equivalent = row.p_equivalence <= ALPHA
    unattainable = min(row.n_a, row.n_b) < FEWEST or power.find_smallest_p(row.n_a, n_b, row.alternative) > level
    verdict = "unattainable at this n" if unattainable else "inconclusive"
    if significant:
        verdict = "better" if ahead > 0 else "worse"
    elif equivalent:
        verdict = "equivalent"
    notes = [row.note] if row.note else []
    if significant and equivalent:
        notes.append("real, but too small to matter")
    return replace(row, p_adj=p_adj, m=m, mde=mde, verdict=verdict, note="; ".join(notes))


def mirror_comparison(row: Comparison) -> Comparison:
    """Return the same comparison from b's side."""
    return replace(
        row,
        a=row.b,
        b=row.a,
        n_a=row.n_b,
        n_b=row.n_a,
        alternative={"less": "greater", "greater": "less"}.get(row.alternative, row.alternative),  # type: ignore[arg-type]
        statistic=-row.statistic if row.paired else row.n_a * row.n_b - row.statistic,
        a12=1 - row.a12,
        a12_low=1 - row.a12_high,
        a12_high=1 - row.a12_low,
        diff=-row.diff,
        diff_low=-row.diff_high,
        diff_high=-row.diff_low,
        hodges_lehmann=-row.hodges_lehmann,
        corrected_low=-row.corrected_high,
        corrected_high=-row.corrected_low,
        verdict={"better": "worse", "worse": "better"}.get(row.verdict, row.verdict),
    )


def _compute_test_share(runs: Runs, condition: Condition, arm: str) -> float | None:
    """Return the mean n_test / n_train of an arm's trainings. None where they are not known."""
    if not {"n_train", "n_test"} <= set(runs.table):
        return None
    rows = runs.find_done_rows(arm, condition) if set(condition) == set(runs.axes) else []
    counts = runs.table.iloc[rows][["n_test", "n_train"]].dropna()
    return float((counts["n_test"] / counts["n_train"]).mean()) if len(counts) else None


def make_pair_generator(condition: Condition, a: str, b: str) -> np.random.Generator:
    """Return a random generator seeded by this pair alone, so that nothing else in the report changes its draws."""
    return np.random.default_rng(zlib.crc32(repr((list(condition.items()), a, b)).encode()))
