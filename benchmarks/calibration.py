"""Measures how often the report is wrong: family-wise errors, coverage and power of its verdicts on simulated studies of known truth.

python -m benchmarks.calibration draws studies of each shape of calibration_shapes.py, tests them with the report's own functions, and
compares verdicts and intervals with the true differences. Beside them it measures the power of one comparison that was named
beforehand, and the candidates for the paired test of one condition. A rate has its simulation error (one standard error) beside it.
Aims: no family is wrong in more than .055 of studies, intervals cover at least .94; both plus two simulation errors. `published` is the
paper's test, which nothing adjusts; it has no aim.
"""

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, NamedTuple
from unittest.mock import patch

import numpy as np
import typer
from scipy import special

from benchmarks.calibration_shapes import MARGIN, POINT, SHAPES, UNEQUAL, Shape, build_runs, compute_expected, draw_scores
from benchmarks.common import last_line, machine, show
from platform.report import claim_tests, comparison_families, comparisons, contrasts
from platform.report.claim_tests import ClaimAnswer
from platform.report.comparisons import Comparison
from platform.report.runs_table import Runs
from platform.stats import significance
from search_spaces.claims import Claim

BATCH = 100
"""studies in one table"""
EVERY = 4
"""comparisons of single conditions are made for one study in EVERY, because there are many of them"""
FAMILIES = ("claims", "ranges", "parts", "winner", "overall", "confirmatory", "contrasts", "against", "pairs")
"""`ranges` are claims that a difference lies in a range, `parts` a claim's conditions; of `pairs` the rate is the false discovery rate, of
the others the family-wise error"""
FOUND = ("better", "worse")
HIGHEST, LOWEST = 0.055, 0.94
TINY = 1e-9


class Rate(NamedTuple):
    """A mean over studies and its simulation error."""

    mean: float
    error: float


Truth = Callable[[Comparison], float]


@contextmanager
def leave_out_companions() -> Iterator[None]:
    """Skip the numbers that no verdict depends on: companion tests, Hodges-Lehmann shifts and intervals of A12."""
    quick = partial(comparisons.compare_arms, companions=False)
    with ExitStack() as patches:
        for module in (comparisons, comparison_families, claim_tests, contrasts):
            patches.enter_context(patch.object(module, "compare_arms", quick))
        patches.enter_context(patch.object(significance, "hodges_lehmann", lambda *_: np.nan))
        patches.enter_context(patch.object(significance, "estimate_a12", _estimate_a12_alone))
        yield


def _estimate_a12_alone(x: np.ndarray, y: np.ndarray) -> significance.Superiority:
    share = (np.greater.outer(x, y) + 0.5 * np.equal.outer(x, y)).mean()
    return significance.Superiority(float(share), np.nan, np.nan)


def measure_shape(shape: Shape, studies: int) -> dict[str, Rate]:
    """Return the rates of a shape by name."""
    rng = np.random.default_rng(zlib.crc32(shape.name.encode()))
    expected, counts = compute_expected(shape), defaultdict[str, list[float]](list)
    exact = compute_true_claims(shape, expected)
    for first in range(0, studies, BATCH):
        draws = draw_scores(shape, min(BATCH, studies - first), rng)
        runs = build_runs(shape, *draws)
        with leave_out_companions():
            for study in range(len(draws.test)):
                runs.select_study(study)
                answers = claim_tests.test_claims(runs)
                count_claims(counts, answers, exact)
                for name, families in compare_study(runs, (first + study) % EVERY == 0).items():
                    count_families(counts, name, families, partial(find_truth, runs, expected))
    return {name: Rate(float(np.mean(values)), float(np.std(values) / len(values) ** 0.5)) for name, values in counts.items()}


def compute_true_claims(shape: Shape, expected: np.ndarray) -> list[ClaimAnswer]:
    """Return the claims, tested on the expected scores [arms, conditions]. Their differences are the true differences."""
    scores = expected[None, :, :, None]
    return claim_tests.test_claims(build_runs(shape, scores, scores))


def compare_study(runs: Runs, single: bool) -> dict[str, list[list[Comparison]]]:
    """Return the families of comparisons on a study's page by name, except claims. `single` adds those of single conditions."""
    reference = comparison_families.find_reference_arm(runs)
    families = {
        "winner": [comparison_families.compare_winner(runs)],
        "overall": [comparison_families.compare_overall(runs, reference)],
        "confirmatory": [comparison_families.compare_confirmatory(runs)],
        "contrasts": [[row.comparison for row in contrasts.compute_contrasts(runs)]],
    }
    if single:
        families["against"] = split_by_condition(comparison_families.compare_with_reference(runs, reference))
        families["published"] = split_by_condition(comparison_families.compare_as_published(runs))
    if single and runs.design.contrasts:
        families["pairs"] = split_by_condition(comparison_families.compare_all_pairs(runs))
    return families


def split_by_condition(rows: list[Comparison]) -> list[list[Comparison]]:
    groups: dict[str, list[Comparison]] = {}
    for row in rows:
        groups.setdefault(str(row.condition), []).append(row)
    return list(groups.values())


def find_truth(runs: Runs, expected: np.ndarray, row: Comparison) -> float:
    """Return the true difference of a row's arms, over the conditions that it covers."""
    matched = [k for k, condition in enumerate(runs.conditions) if row.condition.items() <= condition.items()]
    return float((expected[runs.arms.index(row.a), matched] - expected[runs.arms.index(row.b), matched]).mean())


def is_false(row: Comparison, truth: float) -> bool:
    """Return whether the verdict names a direction that the true difference does not have."""
    return (row.verdict == "better" and truth < TINY) or (row.verdict == "worse" and truth > -TINY)


def is_false_equivalence(row: Comparison, truth: float) -> bool:
    return row.is_equivalent and abs(truth) > MARGIN * POINT - TINY


def count_claims(counts: dict[str, list[float]], answers: list[ClaimAnswer], exact: list[ClaimAnswer]) -> None:
    """Append the errors and coverage of a study's claims to `counts`. `exact` holds the same claims, computed from expected scores."""
    known = [(answer, truth.whole.diff) for answer, truth in zip(answers, exact, strict=True) if answer.whole and truth.whole]
    if not known:
        return
    ranged = [pair for pair in known if pair[0].claim.between]
    if ranged:
        counts["ranges"].append(float(any(is_false_range(*pair) for pair in ranged)))
        covered = [answer.whole.diff_low - TINY <= truth <= answer.whole.diff_high + TINY for answer, truth in ranged if answer.whole]
        counts["ranges: coverage"].append(float(all(covered)))
    pairs = [pair for pair in known if not pair[0].claim.between]
    truths = {id(answer.whole): truth for answer, truth in pairs}
    truths |= {
        id(part): other.diff
        for answer, truth in zip(answers, exact, strict=True)
        for part, other in zip(answer.parts, truth.parts, strict=True)
    }
    count_families(counts, "claims", [[answer.whole for answer, _ in pairs if answer.whole]], lambda row: truths[id(row)])
    count_families(counts, "parts", [answer.parts for answer in answers if answer.parts], lambda row: truths[id(row)])
    counts["false contradictions"].append(float(any(is_false_contradiction(*pair) for pair in pairs)))


def is_false_range(answer: ClaimAnswer, truth: float) -> bool:
    """Return whether a claimed range is called contradicted and holds, or supported and does not hold."""
    least, most = answer.claim.between or (-np.inf, np.inf)
    return answer.standing == ("contradicted" if least <= truth <= most else "supported")


def is_false_contradiction(answer: ClaimAnswer, truth: float) -> bool:
    """Return whether a true claim is called contradicted. A claim of equivalence is true if the difference is below the margin."""
    true = abs(truth) < MARGIN * POINT - TINY if answer.claim.expect == "equivalent" else truth >= MARGIN * POINT
    return true and answer.standing == "contradicted"


def count_families(counts: dict[str, list[float]], name: str, families: list[list[Comparison]], find: Truth) -> None:
    """Append a study's share of families with a false verdict, and the coverage and errors of its rows, to the counts of `name`."""
    judged = [[(row, find(row)) for row in family] for family in families if family]
    rows = [pair for family in judged for pair in family]
    if not rows:
        return
    wrong = [[(is_false(*pair), is_false_equivalence(*pair)) for pair in family] for family in judged]
    shown: dict[str, list[Any]] = {
        name: [any(sign for sign, _ in family) for family in wrong],
        f"{name}: equivalence": [any(equal for _, equal in family) for family in wrong],
        f"{name}: any": [any(map(any, family)) for family in wrong],
    }
    if name == "pairs":
        found = [sum(row.verdict in FOUND for row, _ in family) for family in judged]
        equal = [sum(row.is_equivalent for row, _ in family) for family in judged]
        shown = {
            name: [sum(sign for sign, _ in family) / max(1, n) for family, n in zip(wrong, found, strict=True)],
            f"{name}: equivalence": [sum(same for _, same in family) / max(1, n) for family, n in zip(wrong, equal, strict=True)],
        }
    shown |= {
        f"{name}: coverage": [row.diff_low - TINY <= truth <= row.diff_high + TINY for row, truth in rows if row.diff_low == row.diff_low],
        f"{name}: reversed": [any(is_false(*pair) and abs(pair[1]) > TINY for pair in family) for family in judged],
        f"{name}: found": [row.verdict == ("better" if truth > 0 else "worse") for row, truth in rows if abs(truth) > TINY],
        f"{name}: probably": [max(row.probably_better, row.probably_worse) > 0.95 for row, truth in rows if abs(truth) < TINY],
        f"{name}: untested": [row.verdict == "not tested" for row, _ in rows],
    }
    for label, values in shown.items():
        if values:
            counts[label].append(float(np.mean(values)))


def measure_power(studies: int) -> list[tuple[Any, ...]]:
    """Return the power of a claim's test, not adjusted: ICC, difference in points, power and its simulation error."""
    claim = Claim("B beats A", {"method": "B"}, {"method": "A"})
    rows: list[tuple[Any, ...]] = []
    for icc in (0.0, 0.25, 0.5):
        for points in (2.0, 3.0):
            shape = replace(make_pair(points), icc=icc, claims=(claim,))
            draws = draw_scores(shape, studies, np.random.default_rng(len(rows)))
            p = []
            for first in range(0, studies, BATCH):
                runs = build_runs(shape, draws.test[first : first + BATCH], draws.validation[first : first + BATCH])
                with leave_out_companions():
                    for study in range(len(draws.test[first : first + BATCH])):
                        runs.select_study(study)
                        whole = claim_tests.test_claims(runs)[0].whole
                        p.append(whole.p if whole else np.nan)
            found = float(np.mean(np.array(p) <= comparisons.ALPHA))
            rows.append((icc, points, found, (found * (1 - found) / studies) ** 0.5))
    return rows


def make_pair(points: float) -> Shape:
    """Return a shape of two arms that differ by so many points."""
    two = (1.0, 1.0)
    return Shape("pair", arms=("A", "B"), effects=(0.0, points), arm_sds=two, collapses=(0.0, 0.0), claims=())


CANDIDATES = ("flip", "studentised flip", "t", "mixed model")
PAIR_FIELDS: dict[str, dict[str, Any]] = {
    "normal": {},
    "discrete": {"images": 150},
    "unequal": {"arm_sds": (0.5, 2.0), "condition_sds": UNEQUAL["condition_sds"]},
    "collapse": {"collapses": (0.1, 0.1)},
}


def measure_candidates(studies: int) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Return a header and rows of shape and seeds: size at no difference, on average and under the worst of the four conditions, and
    power at 3 points, of each candidate.
    """
    rows: list[tuple[Any, ...]] = []
    for name, fields in PAIR_FIELDS.items():
        for seeds in (3, 5, 7, 10):
            shares = []
            for points in (0.0, 3.0):
                shape = replace(make_pair(points), seeds=seeds, **fields)
                test = draw_scores(shape, studies, np.random.default_rng(len(rows))).test
                shares.append([(p <= comparisons.ALPHA).mean(0) for p in compute_candidates(test[:, 1] - test[:, 0])])
            rows.append((name, seeds, *(f"{a.mean():.3f} {a.max():.3f} {b.mean():.2f}" for a, b in zip(*shares, strict=True))))
    return ("shape", "seeds", *CANDIDATES), rows


def compute_candidates(d: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the two-sided p of each candidate for paired differences d [studies, conditions, seeds]: [studies, conditions] each.

    Studentising changes nothing: flips keep the sum of squares, so that t rises with the mean. The mixed model has conditions as fixed
    effects, and one variance for all of them: for balanced data the pooled variance, with (seeds - 1) conditions degrees of freedom.
    Differences that do not vary have p = 1.
    """
    n, conditions, mean = d.shape[2], d.shape[1], d.mean(2)
    signs = np.array([[1 - 2 * (k >> bit & 1) for bit in range(n)] for k in range(2 ** (n - 1))], float)
    sums, total = np.abs(d @ signs.T), (d**2).sum(2, keepdims=True)
    flipped = [sums, sums / np.sqrt(np.maximum(total - sums**2 / n, TINY * total + 1e-300))]
    p = [np.mean(statistic >= statistic[:, :, :1] * (1 - TINY), 2) for statistic in flipped]
    own = d.var(2, ddof=1)
    for variance, df in ((own, n - 1), (np.broadcast_to(own.mean(1, keepdims=True), own.shape), (n - 1) * conditions)):
        t = np.abs(mean) / np.sqrt(np.maximum(variance, 1e-300) / n)
        p.append(np.where(variance > 1e-20, 2 * special.stdtr(df, -t), 1.0))
    return tuple(p)


def list_faults(shape: Shape, rates: dict[str, Rate]) -> list[tuple[Any, ...]]:
    """Return the rates of a shape that miss an aim by more than two simulation errors: shape, what, rate, simulation error."""
    faults = []
    for name, rate in rates.items():
        family, _, part = name.partition(": ")
        error_rate = name == "false contradictions" or (family in FAMILIES and part in ("", "equivalence", "any"))
        covers = part == "coverage" and family in FAMILIES
        low = covers and rate.mean < LOWEST - 2 * rate.error
        if shape.aim and ((error_rate and rate.mean > HIGHEST + 2 * rate.error) or low):
            faults.append((shape.name, name, *rate))
    return faults


def show_rates(title: str, names: dict[str, str], rates: dict[str, dict[str, Rate]]) -> None:
    """Print rates by shape; `names` gives the columns' headings by what they show."""
    rows = []
    for shape, row in rates.items():
        if any(name in row for name in names):
            rows.append((shape, *(f"{row[name].mean:.3f} ± {row[name].error:.3f}" if name in row else "–" for name in names)))
    if rows:
        show(title, ("shape", *names.values()), rows)


def main(
    studies: Annotated[int, typer.Option(min=4, help="of every shape")] = 2000,
    only: Annotated[str, typer.Option(help=f"some of {', '.join([*SHAPES, 'power', 'candidates'])}, joined by commas")] = "",
) -> None:
    """Measure, print tables, and end with one line of JSON: rates by shape and name."""
    wanted = only.split(",") if only else [*SHAPES, "power", "candidates"]
    if unknown := [name for name in wanted if name not in (*SHAPES, "power", "candidates")]:
        raise typer.BadParameter(f"--only {unknown[0]}: is no shape; --help lists them")
    here = machine()
    rates = {name: measure_shape(SHAPES[name], studies) for name in wanted if name in SHAPES}
    show_rates("family-wise error (pairs: false discovery rate; published: not adjusted)", {n: n for n in (*FAMILIES, "published")}, rates)
    false = {f"{name}: equivalence": name for name in FAMILIES} | {"claims: any": "claims, any", "false contradictions": "contradicted"}
    show_rates("false equivalence; any false verdict on claims; true claims called contradicted", false, rates)
    covered = {f"{name}: coverage": name for name in (*FAMILIES, "published")}
    show_rates("coverage of the 95 % intervals, not adjusted (above .97: conservative)", covered, rates)
    other = {f"{name}: {what}": f"{name}, {what}" for what in ("found", "probably", "reversed") for name in ("claims", "against", "winner")}
    show_rates("differences found; true differences of 0 called probable (> .95); verdicts of the wrong direction", other, rates)
    figures: dict[str, Any] = {name: {key: round(rate.mean, 4) for key, rate in row.items()} for name, row in rates.items()}
    if "power" in wanted:
        power = measure_power(studies)
        show("power, named beforehand, not adjusted: 5 seeds x 4 conditions, sd 2", ("ICC", "difference", "power", "error"), power)
        figures["power"] = [list(row) for row in power]
    if "candidates" in wanted:
        header, table = measure_candidates(studies)
        show("candidates for the paired test of one condition: size, size under the worst condition, power at 3 points", header, table)
        figures["candidates"] = [list(row) for row in table]
    faults = [fault for name, row in rates.items() for fault in list_faults(SHAPES[name], row)]
    show("misses its aim by more than two simulation errors", ("shape", "what", "rate", "error"), faults)
    last_line(figures | {"faults": [list(fault) for fault in faults]}, here)


if __name__ == "__main__":
    typer.run(main)
