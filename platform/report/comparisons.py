"""Compares two arms: which is better, how certain that is, and a verdict in one word.

The test is Student's t test of the paired differences over seeds, or Welch's t test where data splits are not shared. The interval, the
p, the power and the probabilities of a comparison all come from this one procedure. benchmarks/calibration.py measures its error rates.
Statistics come from significance.py, samples from Runs. comparison_families.py and others decide which comparisons are made.
"""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from platform.report.pooled_samples import count_incomplete, have_own_replicates, pool_samples
from platform.report.runs_table import Condition, Runs, Sample, match_samples
from platform.report.tuning import note_unequal_tuning
from platform.stats import significance as s
from platform.stats.float_ties import measure_correlation
from platform.stats.power import FEWEST, find_detectable_effect

ALPHA = 0.05
PAIRED, UNPAIRED, RANKS = "paired t", "Welch t", "Mann-Whitney"
"""names of tests"""
MOST = 1e300
"""the largest statistic: that of a huge difference with a tiny error is written as a number, too"""
FIXED = ("statistic", "probably_worse", "probably_equal", "probably_better")
"""fields from which the p of a fixed number of seeds could be read"""
STOPPED = "seeds were added until the claims were decided: no test of a fixed number"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Does `a` do better than `b`? A number is NaN where there is none.

    `diff` is mean(a) - mean(b) in the metric's own unit. `a12` is the probability that a run of a is the better one.
    """

    family: str
    condition: Condition
    a: str
    b: str
    selected_by: str
    n_a: int = 0
    n_b: int = 0
    paired: bool = False
    test: str = ""
    alternative: s.Alternative = "two-sided"
    statistic: float = np.nan
    """t, above 0 if a does better; of a rank test U"""
    p: float = np.nan
    p_adj: float = np.nan
    """p adjusted for the family, by Benjamini & Hochberg's method for `pairwise` and by Holm's otherwise; NaN for `published`, which is
    not adjusted"""
    m: int = 0
    """number of hypotheses in the family"""
    a12: float = np.nan
    a12_low: float = np.nan
    a12_high: float = np.nan
    diff: float = np.nan
    diff_low: float = np.nan
    diff_high: float = np.nan
    """95 % interval, not adjusted: it excludes 0 if and only if p <= 0.05. That of a claimed range holds for all such ranges together."""
    sd: float = np.nan
    """standard deviation of the differences if paired, else pooled"""
    mde: float = np.nan
    """the true difference that this comparison finds with a probability of 80 %, at the family's strictest level"""
    verdict: str = ""
    """on a: better, worse, equivalent, inconclusive or not tested"""
    note: str = ""
    hodges_lehmann: float = np.nan
    p_flip: float = np.nan
    """p of the exact sign-flip test of the paired differences, beside the t test"""
    p_rank: float = np.nan
    """p of the unpaired exact rank test"""
    p_equivalence: float = np.nan
    p_equivalence_adj: float = np.nan
    """adjusted like p_adj, within the same family"""
    correlation: float = np.nan
    """correlation of the paired scores over replicates"""
    probably_worse: float = np.nan
    """probability that a is worse than b by more than the margin, given the scores: descriptive, never a verdict"""
    probably_equal: float = np.nan
    """probability that the difference lies within the margin"""
    probably_better: float = np.nan

    @property
    def is_equivalent(self) -> bool:
        """Whether the difference is shown to lie within the margin, whatever the verdict on its sign."""
        return self.p_equivalence_adj <= ALPHA


Sides = Iterable[tuple[str, Sample]]
"""a and b, each with its name and its sample"""


def compare_arms(
    runs: Runs,
    family: str,
    condition: Condition,
    sides: Sides,
    alternative: s.Alternative,
    selected_by: str,
    companions: bool = True,
    level: float = 1 - ALPHA,
) -> Comparison:
    """Return one comparison with its raw p.

    It is paired if both sides know their data splits and share them; it then uses the shared replicates only. `companions` adds what is
    shown beside the test: permutation tests of the same pair and the correlation. `level` is that of the difference's interval.
    """
    (name_a, all_a), (name_b, all_b) = sides
    (x, y, paired), notes = match_samples(all_a, all_b), []
    if paired and (unmatched := len(all_a.values) + len(all_b.values) - 2 * len(x)):
        notes.append(f"{unmatched} without a partner left out")
    elif not paired and any(all_a.splits.values()) and any(all_b.splits.values()):
        notes.append("no shared data splits: unpaired")
    if unequal := note_unequal_tuning(runs, name_a, name_b, condition):
        notes.append(unequal)
    base: dict[str, Any] = {"family": family, "condition": condition, "a": name_a, "b": name_b, "selected_by": selected_by}
    base |= {"n_a": len(x), "n_b": len(y), "paired": paired, "alternative": alternative}
    if not (len(x) and len(y)):
        return Comparison(**base | {"note": "; ".join([*notes, "nothing to compare"])})
    up, down = runs.sign * x, runs.sign * y
    difference = s.mean_difference(x, y, paired, level)
    if paired and len(x) >= FEWEST and difference.error == 0 != difference.mean:
        base["paired"], difference = False, s.mean_difference(x, y, level=level)
        notes.append("the paired differences do not vary: compared as unpaired")
    base |= _test_difference(runs, difference, alternative, base["paired"])
    base |= dict(zip(("a12", "a12_low", "a12_high"), s.estimate_a12(up, down), strict=True))
    base["hodges_lehmann"] = s.hodges_lehmann(x, y, paired)
    if min(len(x), len(y)) < FEWEST or runs.plan:
        base |= dict.fromkeys(("p", "p_equivalence", *(FIXED if runs.plan else ())), np.nan)
        notes.append(STOPPED if runs.plan else f"fewer than {FEWEST} {runs.design.replicated}s: no test")
        return Comparison(**base | {"note": "; ".join(notes)})
    if difference.error == 0:  # no t test: the ranks alone tell equal scores from different ones
        notes.append(f"no difference in any {runs.design.replicated}" if paired and difference.mean == 0 else "the scores do not vary")
        base |= _test_ranks(up, down, alternative) | dict.fromkeys(("diff_low", "diff_high"), np.nan)
    if companions:
        base["p_rank"] = s.mann_whitney(up, down, alternative).p
        if paired:
            base["p_flip"] = s.sign_flip(s.subtract_pairs(up, down), _make_pair_generator(condition, name_a, name_b), alternative).p
            base["correlation"] = measure_correlation(x, y)
    return Comparison(**base | {"note": "; ".join(notes)})


def compare_pooled(
    runs: Runs,
    family: str,
    condition: Condition,
    sides: Sequence[tuple[str, Sequence[Sample]]],
    selected_by: str,
    level: float = 1 - ALPHA,
) -> Comparison:
    """Compare two sides over several conditions, each side with its samples by condition. The conditions have equal weight.

    The unit is a seed: its mean over all conditions. Seeds that lack a training at one of them are left out, and the note says how many.
    Where every training has a seed of its own, the conditions count as independent (Satterthwaite's degrees of freedom).
    """
    (name_a, samples_a), (name_b, samples_b) = sides
    if not (have_own_replicates(samples_a) or have_own_replicates(samples_b)):
        pooled = [(name, pool_samples(samples)) for name, samples in sides]
        row = compare_arms(runs, family, condition, pooled, "two-sided", selected_by, level=level)
        incomplete = max(count_incomplete(samples) for _, samples in sides)
        over = f"over {len(samples_a)} conditions" if len(samples_a) > 1 else ""
        left_out = f"{incomplete} {runs.design.replicated}s without all {len(samples_a)} conditions left out" if incomplete else ""
        return replace(row, note="; ".join(filter(None, (over, left_out, row.note))))
    matched = [match_samples(a, b) for a, b in zip(samples_a, samples_b, strict=True)]
    difference = s.average_differences([s.mean_difference(x, y, paired) for x, y, paired in matched], level)
    paired = all(paired for *_, paired in matched)
    row = Comparison(family, condition, name_a, name_b, selected_by, sum(len(x) for x, _, _ in matched), sum(len(y) for _, y, _ in matched))
    note = f"over {len(matched)} conditions, each with its own {runs.design.replicated}s"
    return replace(row, paired=paired, note=note, **_test_difference(runs, difference, "two-sided", paired))


def compare_ranks(runs: Runs, family: str, condition: Condition, sides: Sides, selected_by: str) -> Comparison:
    """Return a comparison by the published method: the unpaired, one-sided, exact Mann-Whitney test that a is better."""
    unpaired = [(name, Sample(sample.values, dict.fromkeys(sample.values, ""))) for name, sample in sides]
    row = compare_arms(runs, family, condition, unpaired, "greater", selected_by)
    if np.isnan(row.p):
        return replace(row, test=RANKS)
    up, down = (runs.sign * sample.to_array() for _, sample in unpaired)
    return replace(row, **_test_ranks(up, down, "greater"), sd=np.nan, p_equivalence=np.nan)


def _test_difference(runs: Runs, difference: s.Difference, alternative: s.Alternative, paired: bool) -> dict[str, Any]:
    """Return the fields of a comparison that follow from its difference and the difference's standard error."""
    up = difference._replace(mean=runs.sign * difference.mean)
    fields: dict[str, Any] = {"diff": difference.mean, "diff_low": difference.low, "diff_high": difference.high, "sd": difference.sd}
    fields |= {"test": PAIRED if paired else UNPAIRED, "p": s.compute_difference_p(up, alternative)}
    fields["statistic"] = min(max(up.mean / up.error, -MOST), MOST) if up.error > 0 else np.nan
    if runs.design.rope:
        fields["p_equivalence"] = s.compute_equivalence_p(difference, runs.design.rope)
    names = ("probably_worse", "probably_equal", "probably_better")
    return fields | dict(zip(names, s.compute_evidence(up, runs.design.rope or 0.0), strict=True))


def _test_ranks(up: np.ndarray, down: np.ndarray, alternative: s.Alternative) -> dict[str, Any]:
    test = s.mann_whitney(up, down, alternative)
    return {"test": f"{RANKS}, {test.method}", "statistic": test.u, "p": test.p}


def settle_family(family: list[Comparison], total: int = 0, equivalence_total: int = 0) -> list[Comparison]:
    """Adjust a family's p by Holm's method and give each comparison its verdict.

    Differences and equivalences are two families, each held at ALPHA. `total` is the number of hypotheses from which the family's
    comparisons were picked, if they were picked by the scores themselves; `equivalence_total` is the same where it differs.
    """
    m = max(total, sum(not np.isnan(row.p) for row in family))
    totals = {"p": total, "p_equivalence": equivalence_total or total}
    adjusted = [s.adjust_holm([getattr(row, name) for row in family], of) for name, of in totals.items()]
    return [judge_comparison(row, float(p), float(equal), m, ALPHA / max(m, 1)) for row, p, equal in zip(family, *adjusted, strict=True)]


def settle_exploratory(family: list[Comparison]) -> list[Comparison]:
    """Adjust a family's p by Benjamini & Hochberg's method, which bounds the share of false findings among all findings."""
    adjusted = [s.adjust_benjamini_hochberg([getattr(row, name) for row in family]) for name in ("p", "p_equivalence")]
    m = sum(not np.isnan(row.p) for row in family)
    return [judge_comparison(row, float(p), float(equal), m, ALPHA) for row, p, equal in zip(family, *adjusted, strict=True)]


def judge_comparison(row: Comparison, p_adj: float, equivalence_adj: float, m: int, level: float) -> Comparison:
    """Return the comparison with its verdict and the difference that it can detect. Without `p_adj` (NaN) the raw p decides."""
    mde = np.nan
    if not np.isnan(row.p):
        mde = find_detectable_effect(row.n_a, None if row.paired else row.n_b, level, row.alternative) * row.sd
    ahead = row.a12 - 0.5 if row.test.startswith(RANKS) else row.statistic  # oriented; `diff` is not if lower is better
    p, equivalent, notes = row.p if np.isnan(p_adj) else p_adj, equivalence_adj <= ALPHA, [row.note] if row.note else []
    verdict = "not tested" if np.isnan(p) else "inconclusive"
    if p <= ALPHA:
        verdict = "better" if ahead > 0 else "worse"
        if equivalent:
            notes.append("real, but too small to matter")
    elif equivalent:
        verdict = "equivalent"
    return replace(row, p_adj=p_adj, p_equivalence_adj=equivalence_adj, m=m, mde=mde, verdict=verdict, note="; ".join(notes))


def mirror_comparison(row: Comparison) -> Comparison:
    """Return the same comparison from b's side."""
    return replace(
        row,
        a=row.b,
        b=row.a,
        n_a=row.n_b,
        n_b=row.n_a,
        alternative={"less": "greater", "greater": "less"}.get(row.alternative, row.alternative),  # type: ignore[arg-type]
        statistic=row.n_a * row.n_b - row.statistic if row.test.startswith(RANKS) else -row.statistic,
        a12=1 - row.a12,
        a12_low=1 - row.a12_high,
        a12_high=1 - row.a12_low,
        diff=-row.diff,
        diff_low=-row.diff_high,
        diff_high=-row.diff_low,
        hodges_lehmann=-row.hodges_lehmann,
        probably_worse=row.probably_better,
        probably_better=row.probably_worse,
        verdict={"better": "worse", "worse": "better"}.get(row.verdict, row.verdict),
    )


def _make_pair_generator(condition: Condition, a: str, b: str) -> np.random.Generator:
    """Return a random generator seeded by this pair alone, so that nothing else in the report changes its draws."""
    return np.random.default_rng(zlib.crc32(repr((sorted(condition.items()), a, b)).encode()))
