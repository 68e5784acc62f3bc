"""The sequential test against plain enumeration in fractions, published boundaries, and simulated studies."""

from fractions import Fraction
from itertools import product
from math import floor, inf, isnan, nan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from platform.stats.alpha_spending import spend_obrien_fleming
from platform.stats.sequential_design import SequentialDesign, plan_looks
from platform.stats.sequential_tests import (
    DRAWS,
    ClaimAtLook,
    draw_signs,
    flip_signs,
    invert_flips,
    run_looks,
)
from trainables.registry import BadRequest

MOST = 20
LOOKS = st.sampled_from([(6,), (3, 6), (4, 5, 7), (2, 4, 6, 7)])
ALPHA = st.sampled_from([0.05, 0.2, 0.45])
WHOLE = st.integers(-4, 4)


def draw_table(looks: tuple[int, ...], most_claims: int = 3) -> st.SearchStrategy[np.ndarray]:
    columns = st.lists(st.lists(WHOLE, min_size=looks[-1], max_size=looks[-1]), min_size=1, max_size=most_claims)
    return columns.map(lambda rows: np.array(rows, float).T)


TABLES = LOOKS.flatmap(lambda looks: st.tuples(st.just(looks), draw_table(looks)))


def square(column: list[Fraction], signs: tuple[int, ...], sides: int) -> Fraction:
    """Return the statistic's square, with the statistic's sign if one-sided."""
    total, squares = sum(s * v for s, v in zip(signs, column, strict=False)), sum(v * v for v in column[: len(signs)])
    return (abs(total) if sides == 2 else total) * abs(total) / squares if squares else Fraction(0)


def enumerate_set(
    columns: list[list[Fraction]], looks: tuple[int, ...], design: SequentialDesign, sides: int
) -> tuple[Fraction | None, float]:
    """Return boundary (None: nothing can be rejected) and p of the last of the looks, for one set of columns."""
    rejected: set[tuple[int, ...]] = set()
    for look in looks:
        spent = float(spend_obrien_fleming([look / design.most], design.alpha)[0])
        vectors = list(product((1, -1), repeat=look))
        left = {s: max(square(c, s, sides) for c in columns) for s in vectors if not any(s[:n] in rejected for n in looks)}
        new = floor(spent * 2**look) - (len(vectors) - len(left))
        possible = floor(spent * 2**look) >= sides  # a sign vector and its negative go together
        boundary = sorted(left.values(), reverse=True)[new] if possible else None
        observed = max(square(c, (1,) * look, sides) for c in columns)
        p = (len(vectors) - len(left) + sum(v >= observed for v in left.values())) / len(vectors) * design.alpha / spent
        rejected |= {s for s, v in left.items() if boundary is not None and v > boundary}
    return boundary, min(1.0, p)


def enumerate_looks(columns: list[list[Fraction]], design: SequentialDesign, sides: int) -> list[dict[int, tuple[bool, float, float]]]:
    """Return, for each look, whether each column is rejected, its p and its boundary; a rejected column ends."""
    left, history, known = set(range(len(columns))), [], {}
    for number, look in enumerate(design.looks):
        if sides == 2 and not left:
            break
        p, stop = 0.0, None
        order = sorted(left, key=lambda c: square(columns[c], (1,) * look, sides))
        while order:
            boundary, own = enumerate_set([columns[c] for c in order], design.looks[: number + 1], design, sides)
            column = order.pop()
            p = max(p, own)
            if stop is None and (boundary is None or square(columns[column], (1,) * look, sides) <= boundary):
                stop = (boundary,)
            used = stop[0] if stop else boundary
            signed = inf if used is None else sqrt(abs(used)) * (1 if used >= 0 else -1)
            known[column] = (stop is None, p, signed)
            left -= {column} if stop is None else set()
        history.append(dict(known))
    return history


@settings(max_examples=80, deadline=None)
@given(TABLES, ALPHA)
def test_against_every_sign_vector(table: tuple[tuple[int, ...], np.ndarray], alpha: float) -> None:
    looks, d = table
    design = SequentialDesign(looks, alpha, futility=0)
    expected = enumerate_looks([[Fraction(int(v)) for v in column] for column in d.T], design, 2)
    history = run_looks(design, d)
    assert len(history) == len(expected)
    for states, rows in zip(history, expected, strict=True):
        for claim, state in enumerate(states):
            rejected, p, boundary = rows[claim]
            assert (state.decision != "open") == rejected == (state.p <= alpha)
            assert (state.p, state.boundary) == (pytest.approx(p), pytest.approx(boundary))
            assert rejected == (abs(state.statistic) > state.boundary + 1e-9) == (not state.low <= 0 <= state.high)


@settings(max_examples=40, deadline=None)
@given(TABLES, ALPHA, st.integers(1, 5))
def test_equivalence_against_every_sign_vector(table: tuple[tuple[int, ...], np.ndarray], alpha: float, margin: int) -> None:
    looks, d = table
    design = SequentialDesign(looks, alpha, margin, futility=0)
    columns = [[Fraction(margin + side * int(v)) for v in column] for side in (-1, 1) for column in d.T]
    expected = enumerate_looks(columns, design, 1)
    first = run_looks(design, d[: looks[0]])[0]
    for claim, state in enumerate(first):
        sides = expected[0][claim], expected[0][claim + d.shape[1]]
        assert state.p_equivalence == pytest.approx(max(side[1] for side in sides))
        spread = len(set(d[: looks[0], claim])) > 1
        if state.decision not in ("better", "worse"):
            assert (state.decision == "equivalent") == (all(side[0] for side in sides) and spread and looks[0] >= 3)
    if d.shape[1] == 1:
        for state, rows in zip((states[0] for states in run_looks(design, d)), expected, strict=False):
            assert state.p_equivalence == pytest.approx(max(rows[0][1], rows[1][1]))


@given(st.lists(WHOLE, min_size=2, max_size=7), st.floats(0, 0.5))
def test_the_interval_is_what_the_flips_do_not_reject(d: list[int], level: float) -> None:
    """At a shift the flip test counts the sign vectors whose sum is as large; the interval ends where the count passes its share."""
    sample, share = np.array(d, float), floor(level * 2 ** (len(d) - 1)) / 2 ** (len(d) - 1)
    low, high = invert_flips(sample, share, None)

    def is_rejected(shift: float) -> bool:
        sums = np.array(list(product((1, -1), repeat=len(d)))) @ (sample - shift)
        return bool(np.mean(np.abs(sums) >= abs((sample - shift).sum()) - 1e-9) <= share)

    assert (low == -inf) == (high == inf) == (share == 0)
    if share:
        assert low <= np.mean(d) <= high
        for end, outwards in ((low, -1e-6), (high, 1e-6)):
            assert is_rejected(end + outwards) and not (low < high and is_rejected(end - outwards))


@settings(max_examples=40, deadline=None)
@given(TABLES, ALPHA, st.permutations(range(3)), st.sampled_from([1e-200, 0.1, 3.0, 1e300]))
def test_signs_units_and_order_are_no_news(table: tuple[tuple[int, ...], np.ndarray], alpha: float, order: list[int], unit: float) -> None:
    looks, d = table
    history = run_looks(SequentialDesign(looks, alpha, 2.0, 0.1), d)
    other = {"better": "worse", "worse": "better"}
    chosen = [claim for claim in order if claim < d.shape[1]]
    turned = run_looks(SequentialDesign(looks, alpha, 2 * unit, 0.1), -d[:, chosen] * unit)
    assert len(turned) == len(history)
    for states, mirrored in zip(history, turned, strict=True):
        for claim, new in zip(chosen, mirrored, strict=True):
            old = states[claim]
            assert new.decision == other.get(old.decision, old.decision)
            ends = (-old.high * unit, -old.low * unit)
            expected = (-old.statistic, old.boundary, old.p, old.p_equivalence, -old.mean * unit, *ends, old.power)
            close = 1e-7 * unit if unit > 1e-100 else 0
            assert new[3:] == pytest.approx(expected, rel=1e-6, abs=max(close, 1e-9) if unit < 1e100 else close, nan_ok=True)


@settings(max_examples=30, deadline=None)
@given(TABLES, ALPHA)
def test_more_seeds_change_no_look(table: tuple[tuple[int, ...], np.ndarray], alpha: float) -> None:
    """A run that is resumed with more seeds comes to the same decisions, also where decided claims have no more seeds."""
    looks, d = table
    design = SequentialDesign(looks, alpha, 2.0, 0.1)
    history = run_looks(design, d)
    for number in range(len(history)):
        stopped = d.copy()
        for claim, state in enumerate(history[number]):
            if state.decision != "open":
                stopped[state.look :, claim] = nan
        assert str(run_looks(design, d[: looks[number]])) == str(history[: number + 1])
        assert str(run_looks(design, stopped)) == str(history)


def test_published_spending() -> None:
    """Lan & DeMets (1983) at a quarter, a half, three quarters and all of the information."""
    spent = spend_obrien_fleming([0.25, 0.5, 0.75, 1], 0.05)
    assert spent == pytest.approx([0.00009, 0.0056, 0.0236, 0.05], abs=6e-5)
    assert spent == pytest.approx(2 * stats.norm.sf(stats.norm.isf(0.025) / np.sqrt([0.25, 0.5, 0.75, 1])), rel=1e-9)
    with pytest.raises(ValueError, match="fractions"):
        spend_obrien_fleming([0.0, 1.0], 0.05)


def test_published_boundaries() -> None:
    """Four looks that spend .025 on each side have the boundaries 4.333, 2.963, 2.359, 2.014 (Reboussin et al. 2000): they spend that."""
    bounds = np.array([4.3326, 2.9631, 2.3590, 2.0141])
    for number, spent in enumerate(2 * spend_obrien_fleming(np.arange(1, 5) / 4, 0.025), 1):
        assert compute_crossing(bounds[:number]) == pytest.approx(spent, abs=3e-5)


def compute_crossing(bounds: np.ndarray) -> float:
    """Return the probability that a Brownian motion, seen at quarters of its time, crosses the two-sided bounds [k] of its z."""
    t = np.arange(1, len(bounds) + 1) / 4
    covariance = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
    within = stats.multivariate_normal(cov=covariance).cdf(bounds, lower_limit=-bounds, rng=np.random.default_rng(0))
    return float(1 - within)


def test_normal_differences_have_the_boundaries_of_a_brownian_motion() -> None:
    """Normal differences of 20 seeds, tested at 5, 10, 15 and 20, have boundaries of about the levels of its bounds, by t tests.

    The bounds, found with scipy's multivariate normal distribution, are 3.920, 2.774, 2.298 and 2.043.
    """
    bounds = [3.9199, 2.7740, 2.2981, 2.0426]
    for number, spent in enumerate(spend_obrien_fleming(np.arange(1, 5) / 4, 0.05), 1):
        assert compute_crossing(np.array(bounds[:number])) == pytest.approx(spent, abs=3e-5)
    rng, design = np.random.default_rng(1), SequentialDesign((5, 10, 15, 20), futility=0)
    histories = [run_looks(design, rng.normal(size=(20, 1))) for _ in range(20)]
    for number, look, bound, error in ((2, 15, bounds[2], 0.002), (3, 20, bounds[3], 0.003)):
        r = np.array([history[number][0].boundary for history in histories if len(history) == 4])
        t = r * np.sqrt((look - 1) / (look - r**2))
        assert 2 * stats.t.sf(t, look - 1).mean() == pytest.approx(2 * stats.norm.sf(bound), abs=error)


def test_looks() -> None:
    assert plan_looks(20) == (6, 8, 10, 12, 15, 20)
    assert plan_looks(6) == (6,) and plan_looks(10) == (6, 8, 10) and plan_looks(60) == (18, 24, 30, 36, 45, 60)
    assert all(plan_looks(most)[-1] == most for most in range(6, 61))
    for most in (5, 61):
        with pytest.raises(BadRequest, match=f"at most {most} seeds"):
            plan_looks(most)


@pytest.mark.parametrize(
    "wrong",
    [
        {"looks": (8, 6)},
        {"looks": ()},
        {"looks": (1, 6)},
        {"looks": (3, 5)},
        {"alpha": 0.5},
        {"futility": 1.0},
        {"margin": 0.0},
        {"margin": nan},
    ],
)
def test_designs_that_are_refused(wrong: dict) -> None:
    with pytest.raises(BadRequest):
        SequentialDesign(**{"looks": (6, 8)} | wrong)


def test_tables_that_are_refused() -> None:
    design = SequentialDesign(plan_looks(6))
    with pytest.raises(BadRequest, match="infinite"):
        run_looks(design, [[inf]] * 6)
    with pytest.raises(BadRequest, match="n, m"):
        run_looks(design, [0.1] * 6)
    assert run_looks(design, np.ones((5, 2))) == []


def last_of(d: np.ndarray, **settings: float) -> list[ClaimAtLook]:
    return run_looks(SequentialDesign(plan_looks(MOST), **settings), d)[-1]


@pytest.mark.parametrize("claims", [1, 2, 14])
def test_the_smallest_p_does_not_grow_with_the_claims(claims: int) -> None:
    d = np.random.default_rng(0).normal(5, 1, (10, claims))
    assert {(state.decision, state.look, round(state.p, 4)) for state in last_of(d)} == {("better", 10, 0.0175)}  # 2 of 1024 over .0056


def test_looks_at_six_and_eight_reject_nothing() -> None:
    for state in last_of(np.linspace(1, 2, 8)[:, None]):
        assert (state.decision, state.boundary, state.low, state.high) == ("open", inf, -inf, inf)


def test_equivalence() -> None:
    d = np.random.default_rng(2).normal(0, 0.1, (MOST, 1))
    assert last_of(d, margin=1.0)[0].decision == "equivalent" and last_of(d, margin=0.01)[0].decision != "equivalent"
    assert last_of(d)[0].decision != "equivalent" and isnan(last_of(d)[0].p_equivalence)
    constant = last_of(np.zeros((MOST, 1)), margin=1.0)[0]
    assert (constant.decision, constant.look, constant.power) == ("futile", 6, 0)
    few = np.full((MOST, 1), nan)
    few[:3] = [[0.1], [-0.1], [0.1]]
    assert last_of(few, margin=1.0, alpha=0.45)[0].decision == "equivalent"
    few[2] = nan
    assert last_of(few, margin=1.0, alpha=0.45)[0].decision != "equivalent"


def test_futility() -> None:
    """The trend of the first six seeds, continued, leads to a sum of 20 times their mean, with the spread of the other 14."""
    first = np.array([1.0, -1.0, 2.0, -1.5, 1.2, -1.0])
    state = run_looks(SequentialDesign(plan_looks(MOST), margin=0.9), first[:, None])[0][0]
    rng, sd = np.random.default_rng(0), first.std(ddof=1)
    sums = first.sum() + rng.normal(first.mean(), sd, (200_000, MOST - 6)).sum(1)
    differs = np.mean(np.abs(sums) > stats.norm.isf(0.025) * sd * sqrt(MOST))
    equal = np.mean(np.abs(sums) < 0.9 * MOST - stats.norm.isf(0.05) * sd * sqrt(MOST))
    assert state.power == pytest.approx(max(differs, equal), abs=0.004)
    assert differs < 0.05 < equal and state.decision == "open"
    assert last_of(first[:, None], futility=0.1)[0].decision == "futile"
    assert last_of(first[:, None], futility=0.0)[0].decision == "open"


def test_a_claim_that_is_given_up_still_counts() -> None:
    """Boundaries must not fall because the weaker claims ended: they end just because they are weak."""
    d = np.random.default_rng(4).normal(0, 1, (MOST, 6))
    d += np.array([0.4, 0, 0, 0, 0, 0]) - d[:6].mean(0)
    design = SequentialDesign(plan_looks(MOST), futility=0.1)
    together, alone = run_looks(design, d)[3], run_looks(design, d[:, :1])[3]
    assert [(state.decision, state.look) for state in together[1:]] == [("futile", 6)] * 5
    assert together[0].look == alone[0].look == 12 and together[0].boundary > alone[0].boundary + 0.2
    repeated = d.copy()
    repeated[6:, 1:] = np.tile(d[:6, 1:], (3, 1))[:14]
    assert together[0].boundary == run_looks(SequentialDesign(plan_looks(MOST), futility=0), repeated)[3][0].boundary


def test_a_missing_difference_counts_as_none() -> None:
    d = np.random.default_rng(3).normal(1, 1, (MOST, 2))
    d[4, 0] = nan
    zero = d.copy()
    zero[4, 0] = 0
    for missing, nothing in zip(last_of(d), last_of(zero), strict=True):
        assert (missing.decision, missing.statistic, missing.p) == (nothing.decision, pytest.approx(nothing.statistic), nothing.p)
    assert last_of(d)[0].n == last_of(d)[0].look - 1
    empty = last_of(np.column_stack([np.full(MOST, nan), d[:, 1]]))
    assert empty[0].n == 0 and isnan(empty[0].mean) and empty[0].p == 1 and empty[1].decision == "better"


def test_random_sign_vectors() -> None:
    """Above 20 seeds sign vectors are drawn: always the same ones, and their boundaries are those of all."""
    looks = plan_looks(30)
    signs = draw_signs(looks)
    assert signs.shape == (DRAWS, 30) and (signs[0] == 1).all() and set(np.unique(signs)) == {-1, 1}
    draw_signs.cache_clear()
    assert np.array_equal(signs, draw_signs(looks)) and np.abs(signs[1:].mean(0)).max() < 0.02
    assert np.abs(np.corrcoef(signs.T) - np.eye(30)).max() < 0.02
    d = np.random.default_rng(5).normal(0.4, 1, (MOST, 3))
    design = SequentialDesign(plan_looks(MOST), futility=0)
    exact, drawn = run_looks(design, d), run_looks(design, d, draw_signs(plan_looks(MOST)))
    for every, some in zip(exact[-1], drawn[-1], strict=True):
        assert (some.boundary, some.p) == (pytest.approx(every.boundary, abs=0.03), pytest.approx(every.p, rel=0.05, abs=0.002))
        assert (some.low, some.high) == (pytest.approx(every.low, abs=0.06), pytest.approx(every.high, abs=0.06))
    d = np.random.default_rng(6).normal(0.4, 1, (30, 2))
    assert str(run_looks(SequentialDesign(looks, futility=0), d)) == str(run_looks(SequentialDesign(looks, futility=0), d))


def test_flips_of_single_differences() -> None:
    assert flip_signs(np.array([3.0, 4.0]), None, True) == pytest.approx([7 / 5, 1 / 5])
    assert flip_signs(np.array([3.0, 4.0]), None, False) == pytest.approx([7 / 5, 1 / 5, -1 / 5, -7 / 5])
    assert flip_signs(np.array([2.0]), None, True) == pytest.approx([1.0]) and flip_signs(np.zeros(1), None, True) == pytest.approx([0.0])


def count_errors(studies: int, effects: list[float], nulls: int, seed: int, margin: float | None = None, futility: float = 0.02) -> tuple:
    """Return the studies in which a claim without effect is rejected, with effect is found, and the seeds of each claim.

    The claims share a baseline. With a margin the claims without effect differ by just the margin.
    """
    rng, design = np.random.default_rng(seed), SequentialDesign(plan_looks(MOST), margin=margin, futility=futility)
    wrong, found, seeds = 0, 0.0, 0.0
    for _ in range(studies):
        signs = rng.integers(0, 2, (1000, MOST)) * 2.0 - 1
        signs[0] = 1
        means = np.array([*effects, *[margin or 0.0] * nulls])
        d = rng.normal(0, 0.5**0.5, (MOST, len(means))) - rng.normal(0, 0.5**0.5, (MOST, 1)) + means
        decisions = run_looks(design, d, signs)[-1]
        bad = ("equivalent",) if margin else ("better", "worse")
        wrong += any(state.decision in bad for state in decisions[len(effects) :])
        found += np.mean([state.decision == "better" for state in decisions[: len(effects)]]) if effects else 0
        seeds += np.mean([state.look for state in decisions])
    return wrong, found / studies, seeds / studies


@pytest.mark.parametrize(
    ("studies", "effects", "nulls", "margin", "futility"),
    [
        (800, [], 1, None, 0),
        (400, [], 5, None, 0),
        (300, [1.2, 2.0, 0.8], 3, None, 0),
        (300, [2.0, 0.8], 4, None, 0.1),
        (300, [], 2, 0.8, 0.02),
    ],
)
def test_errors_stay_at_the_level(studies: int, effects: list[float], nulls: int, margin: float | None, futility: float) -> None:
    wrong = count_errors(studies, effects, nulls, 7, margin, futility)[0]
    assert wrong <= stats.binom.isf(0.001, studies, 0.05)
    if not effects and not margin:
        assert wrong >= stats.binom.ppf(0.001, studies, 0.05)  # nor is the level wasted


def test_power_and_seeds() -> None:
    _, found, seeds = count_errors(200, [1.2], 0, 8)
    assert found > 0.95 and seeds < 0.66 * MOST
