"""A paired group-sequential sign-flip test of several claims, which are tested repeatedly while seeds are added.

A claim is a row of differences, one of each seed. If nothing lies behind it, each difference is as likely as its negative, so all sign
vectors of the differences are equally likely given their sizes. At each look the test rejects the sign vectors with the largest
statistic among those that no earlier look has rejected, up to the share of all sign vectors that the O'Brien-Fleming type spending
function of Lan & DeMets (1983) allows by then. The two-sided test's statistic is the size of the sum, so its level is spent as a whole
and not by side. The level is exact for any symmetric distribution.

Several claims flip whole seeds jointly. The statistic of a set of claims is the largest of theirs (max-T; Westfall & Young 1993). Within
a look the test steps down: the claim with the largest statistic is compared with the boundary of the set of all claims not yet rejected;
if it is rejected, the next one is compared with the boundary of the rest. The boundary of a set is always found from its own looks from
the first on, as if it had been tested alone. A claim that ends without being rejected, as equivalent or futile, stays in the set, with
its differences repeated in place of those of later seeds: if it left, or stayed with few seeds, the boundaries would fall because the
weaker claims had been taken away.

If all claims are null and none is given up, the family-wise error is at most alpha for any symmetric joint distribution. If only some
are null, it is that of a closed test as long as a subset's boundary is not above the set's; the boundaries that are found break this by
single sign vectors at most looks that can reject few. benchmarks/sequential.py has simulated errors, also with claims given up.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from platform.stats.float_ties import ROUNDING, measure_spread, subtract_exactly
from platform.stats.permutations import make_sign_vectors, sum_all_flips
from platform.stats.sequential_design import SequentialDesign
from trainables.registry import BadRequest

Decision = Literal["better", "worse", "equivalent", "futile", "open"]

EXACT_SEEDS = 20
"""the greatest number of seeds up to which all sign vectors are enumerated"""
DRAWS = 2**16
"""random sign vectors of a design with more seeds"""
FEWEST_EQUIVALENT = 3
"""differences without which nothing is called equivalent"""


class ClaimAtLook(NamedTuple):
    """What a look found about a claim. Until the claim is decided, each look has its own."""

    look: int
    """seeds of the look"""
    n: int
    """the claim's differences among them"""
    decision: Decision
    statistic: float
    """sum of the differences over the root of their sum of squares: a monotone function of Student's t, between -root n and root n"""
    boundary: float
    """the claim is rejected if the statistic's size is above; infinity if this look can reject nothing"""
    p: float
    """adjusted for looks and claims: the share of sign vectors that the claim's set rejected before or that are as extreme as the observed
    one, over the share of alpha that is spent by now. It is at most alpha exactly if the claim is rejected."""
    p_equivalence: float
    """the same of the two one-sided tests, the larger p; NaN without a margin"""
    mean: float
    """of the differences; if the claim was rejected early, more often too large than too small"""
    low: float
    """ends of the repeated confidence interval, by inversion of the same look's test: it excludes 0 exactly if the claim is rejected"""
    high: float
    power: float
    """conditional power: the probability that the claim is decided at the most seeds if the trend goes on; the larger one of a
    difference and equivalence"""


def run_looks(
    design: SequentialDesign, differences: ArrayLike, signs: np.ndarray | None = None, expects_equal: Sequence[int] = ()
) -> list[list[ClaimAtLook]]:
    """Return, for each look that the differences [n, m] reach, the state of each of the m claims. It ends when no claim is open.

    A row is a seed, in the order of the design; NaN is a difference that is missing, which counts as no difference. Differences after a
    claim's decision are ignored, and a decided claim keeps its last state. The result depends on the differences alone: more rows append
    looks and change none. `signs` [draws, most] of 1 and -1, the first row all 1, are used instead of all sign vectors. Raises BadRequest
    for an infinite difference.

    `expects_equal` holds the columns of claims of equivalence. A difference that is not 0 does not answer them: with a margin they go on
    until they are equivalent, or better or worse by more than the margin, which one-sided tests about the margin show, as a family at
    alpha.
    """
    d = np.array(differences, dtype=float)
    if d.ndim != 2 or np.isinf(d).any():
        raise BadRequest("of differences one of which is infinite there is no mean to test" if d.ndim == 2 else "differences are [n, m]")
    if signs is None and design.most > EXACT_SEEDS:
        signs = draw_signs(design.looks)
    families = [_Family(signs, design.spend_alpha(), design.alpha, True)]
    if design.margin is not None:
        families += [_Family(signs, design.spend_alpha(), design.alpha, False) for _ in range(2)]
    equal = sorted(expects_equal) if design.margin is not None else []
    history: list[list[ClaimAtLook]] = []
    for number, look in enumerate(design.looks):
        if look > len(d) or (history and all(claim.decision != "open" for claim in history[-1])):
            break
        seen = d[:look]
        steps = families[0].test(np.nan_to_num(seen), design.looks[: number + 1])
        equivalent = [(False, np.nan)] * d.shape[1]
        if design.margin is not None:
            columns = np.concatenate([subtract_exactly(design.margin, seen), subtract_exactly(seen, -design.margin)], 1)
            sides = families[1].test(np.nan_to_num(columns), design.looks[: number + 1])
            pairs = zip(sides[: d.shape[1]], sides[d.shape[1] :], strict=True)
            equivalent = [(below.rejected and above.rejected, max(below.p, above.p)) for below, above in pairs]
        beyond: dict[int, bool] = {}
        if design.margin is not None and equal:
            columns = np.concatenate([subtract_exactly(seen[:, equal], design.margin), subtract_exactly(-design.margin, seen[:, equal])], 1)
            sides = families[2].test(np.nan_to_num(columns), design.looks[: number + 1])
            pairs = zip(sides[: len(equal)], sides[len(equal) :], strict=True)
            beyond = {claim: above.rejected or below.rejected for claim, (above, below) in zip(equal, pairs, strict=True)}
        states = []
        for claim, step in enumerate(steps):
            if history and history[-1][claim].decision != "open":
                states.append(history[-1][claim])
            else:
                states.append(_judge_claim(design, look, seen[:, claim], step, equivalent[claim], beyond.get(claim), signs))
                if states[-1].decision != "open":
                    d[look:, claim] = np.resize(seen[:, claim], len(d) - look)
        history.append(states)
    return history


@lru_cache(maxsize=2)
def draw_signs(looks: tuple[int, ...]) -> np.ndarray:
    """Return random sign vectors [DRAWS, most], the same for the same looks. The first is the observed one, all 1."""
    draws = np.random.default_rng(looks).bytes(DRAWS * looks[-1])
    return make_sign_vectors(np.frombuffer(draws, np.uint8).reshape(DRAWS, looks[-1]) % 2)


def flip_signs(d: np.ndarray, signs: np.ndarray | None, two_sided: bool) -> np.ndarray:
    """Return the statistic of d [n] under all sign vectors, or under the first n of each of `signs`; the observed one comes first.

    It is the sum over the root of the sum of squares, its size if two-sided; 0 if all differences are 0. Two-sided, a sign vector and
    its negative have the same statistic, and one of them is enough.
    """
    scaled = d / (np.abs(d).max(initial=0.0) or 1.0)  # squares then neither overflow nor underflow
    scaled /= np.linalg.norm(scaled) or 1.0
    sums = _sum_flips(scaled, signs, two_sided)
    return np.abs(sums) if two_sided else sums


def _sum_flips(x: np.ndarray, signs: np.ndarray | None, half: bool) -> np.ndarray:
    """Return the sums of x [n] under the sign vectors; if all are enumerated, on request only under those that begin with 1."""
    sums: np.ndarray
    if signs is not None:
        sums = signs[:, : len(x)] @ x
        return sums
    middle = (len(x) + 1) // 2
    first = x[0] + sum_all_flips(x[1:middle]) if half else sum_all_flips(x[:middle])
    sums = np.add.outer(sum_all_flips(x[middle:]), first).ravel()  # the signs of the first differences vary fastest
    return sums


def invert_flips(d: np.ndarray, share: float, signs: np.ndarray | None) -> tuple[float, float]:
    """Return the ends of the shifts of d [n] that a two-sided flip test which rejects this share of all sign vectors does not reject.

    A shift below the mean is rejected if few flipped sums of the shifted differences reach the unflipped one. A flip reaches it if the
    flipped differences' mean is not above the shift. So the ends are order statistics of the means of all subsets (Hartigan 1969).
    """
    scale = np.abs(d).max(initial=0.0) or 1.0
    sums, sizes = (_sum_flips(x, signs, True) for x in (d / scale, np.ones(len(d))))
    with np.errstate(invalid="ignore"):  # the empty subset: NaN, sorted to the end
        means = np.concatenate([(sums[0] - sums) / (sizes[0] - sizes), (sums[0] + sums) / (sizes[0] + sizes)])
    empty = np.count_nonzero(np.isnan(means))
    place = round(share * len(sums)) - empty
    if place < 0:
        return -np.inf, np.inf
    ordered = np.partition(means, [place, len(means) - empty - 1 - place])
    return float(ordered[place] * scale), float(ordered[len(means) - empty - 1 - place] * scale)


class _Step(NamedTuple):
    """One hypothesis at one look."""

    boundary: float
    """of a two-sided test; infinity otherwise"""
    p: float
    rejected: bool


class _Family:
    """Hypotheses that are tested together, each a column of differences, and those of them that looks have rejected."""

    def __init__(self, signs: np.ndarray | None, spent: np.ndarray, alpha: float, two_sided: bool) -> None:
        self.signs, self.spent, self.alpha, self.two_sided = signs, spent, alpha, two_sided
        self.rejected: dict[int, _Step] = {}

    def test(self, columns: np.ndarray, looks: Sequence[int]) -> list[_Step]:
        """Return a step of each column [n, m], tested by the last of the looks so far. A rejected column keeps its step."""
        one = np.ones((1, len(columns)))
        sizes = {h: flip_signs(columns[:, h], one, self.two_sided)[0] for h in range(columns.shape[1]) if h not in self.rejected}
        largest: list[np.ndarray] = []
        steps = {}
        for h in sorted(sizes, key=sizes.__getitem__):  # from the smallest statistic on: the sets grow
            flips = [flip_signs(columns[:look, h], self.signs, self.two_sided) for look in looks]
            largest = [np.maximum(*pair) for pair in zip(largest, flips, strict=True)] if largest else flips
            steps[h] = self._test_set(largest)
        p, stop = 0.0, None
        for h, step in reversed(list(steps.items())):
            p = max(p, step.p)
            stop = stop or (None if step.rejected else step)
            steps[h] = _Step(stop.boundary if stop else step.boundary, p, not stop)
        self.rejected |= {h: step for h, step in steps.items() if step.rejected}
        return [self.rejected.get(h) or steps[h] for h in range(columns.shape[1])]

    def _test_set(self, statistics: Sequence[np.ndarray]) -> _Step:
        """Return the last look's test of a set of hypotheses, from its statistics under all sign vectors at each look so far."""
        gone, last = np.zeros(1, bool), len(statistics) - 1
        for number, (statistic, spent) in enumerate(zip(statistics, self.spent, strict=False)):
            gone = np.tile(gone, len(statistic) // len(gone))  # a new seed doubles the sign vectors; the first seeds' signs stay
            left = np.where(gone, -np.inf, statistic)
            before, allowed = np.count_nonzero(gone), int(spent * len(gone))
            new, boundary = allowed - before, np.inf
            if allowed and (number < last or self.two_sided):  # the last boundary takes most of the time; equivalence shows none
                boundary = float(np.partition(left, -1 - new)[-1 - new])
            if number < last:
                gone |= left > boundary + ROUNDING
        extreme = before + np.count_nonzero(left >= statistic[0] - ROUNDING)
        return _Step(boundary, min(1.0, float(self.alpha * extreme / len(gone) / spent)), bool(extreme <= allowed))


def _judge_claim(
    design: SequentialDesign,
    look: int,
    d: np.ndarray,
    step: _Step,
    equivalent: tuple[bool, float],
    beyond: bool | None,
    signs: np.ndarray | None,
) -> ClaimAtLook:
    """Return the state of an open claim after a look, from its differences d [look] and its step.

    `beyond` is None for a claim of a difference. Otherwise it says whether the difference is larger than the margin.
    """
    seen = np.flatnonzero(~np.isnan(d))
    present, n = d[seen], len(seen)
    if signs is not None:
        signs = signs[:, seen]
    flips = flip_signs(present, signs, True) if n else np.zeros(1)
    low, high = invert_flips(present, float(np.mean(flips > step.boundary + ROUNDING)), signs) if n else (np.nan, np.nan)
    scale = np.abs(present).max(initial=0.0) or 1.0
    mean, spread = (float(np.mean(present / scale) * scale), measure_spread(present)) if n else (np.nan, np.nan)
    power = _predict_power(design, n, look, mean, spread, beyond is not None)
    decision: Decision = "open"
    if step.rejected if beyond is None else beyond:
        decision = "better" if mean > 0 else "worse"
    elif equivalent[0] and n >= FEWEST_EQUIVALENT and spread > 0:
        decision = "equivalent"
    elif power < design.futility or (design.futility and not n):  # without any difference there is nothing to predict from
        decision = "futile"
    statistic = float(flips[0]) * (1 if mean > 0 else -1)
    return ClaimAtLook(look, n, decision, statistic, step.boundary, step.p, equivalent[1], mean, low, high, power)


def _predict_power(design: SequentialDesign, n: int, look: int, mean: float, spread: float, beyond: bool) -> float:
    """Return the probability that a claim of n differences at a look is decided at the most seeds, if mean and spread are the true ones.

    It is that of a single test at the most seeds, as if the other claims and looks spent nothing, by the normal distribution; NaN at the
    most seeds and with less than two differences.
    """
    ahead = design.most - look
    if n < 2 or not ahead:
        return np.nan
    if spread == 0:
        return float(mean != 0)  # nothing is equivalent that does not vary
    last, trend, margin = n + ahead, mean / spread, (design.margin or 0.0) / spread
    error, centre = ahead**0.5, last * trend  # of the final sum, in standard deviations of a difference
    bound = -special.ndtri(design.alpha / 2) * last**0.5 + (last * margin if beyond else 0.0)
    within = last * margin + special.ndtri(design.alpha) * last**0.5
    differs = special.ndtr((centre - bound) / error) + special.ndtr((-centre - bound) / error)
    equals = special.ndtr((within - centre) / error) - special.ndtr((-within - centre) / error) if within > 0 else 0.0
    return float(max(differs, equals))
