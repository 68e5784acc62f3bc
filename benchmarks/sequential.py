"""Measures the sequential test of claims on simulated studies: errors, power and seeds, beside fixed numbers of seeds and AdaStop.

.venv/bin/python -m benchmarks.sequential simulates paired differences of at most 20 seeds. Effects are in standard deviations of a
difference. AdaStop (Mathieu et al. 2024) has dependencies of its own: with --adastop, the path of a Python in which it is installed, it
decides on the same trainings.
"""

import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.common import last_line, machine, show
from platform.stats.permutations import make_sign_vectors
from platform.stats.sequential_design import SequentialDesign, plan_looks
from platform.stats.sequential_tests import ClaimAtLook, run_looks

MOST = 20
DRAWS = 4096
"""random sign vectors, new ones for each study, where errors are counted; for power and seeds all are enumerated, as in a real study"""
EFFECTS = (0.8, 1.2, 2.0)
ADASTOP = """
import json, sys
import numpy as np
from adastop import MultipleAgentsComparator
x, y = np.load(sys.argv[1])
results = []
for number, pair in enumerate(zip(x, y)):
    test = MultipleAgentsComparator(n=5, K=4, B=2000, alpha=float(sys.argv[2]), seed=number)
    while not test.is_finished:
        n = 5 * (test.k + 1)
        test.partial_compare({"x": pair[0][:n], "y": pair[1][:n]}, verbose=False)
    results.append((list(test.decisions.values())[0] != "equal", n))
print(json.dumps(np.mean(results, 0).tolist()))
"""
"""5 trainings of each arm a look, up to 4 looks"""
ADASTOP_ALPHA = 0.025
"""AdaStop 0.1.3 compares the size of a difference with a boundary of signed differences, so that of two arms its error is nearly twice
alpha: at .05 it was .085 in 400 studies"""


def main(
    studies: Annotated[
        int, typer.Option(min=100, help="simulated for each line of type I errors, and a quarter as many for the other lines")
    ] = 2000,
    adastop: Annotated[Path | None, typer.Option(help="a Python in which adastop is installed")] = None,
) -> None:
    """Measure, print tables, and end with one line of JSON."""
    figures = measure_errors(studies) | measure_effects(studies // 4) | measure_futility(studies // 4)
    figures |= measure_families(studies // 4) | measure_equivalence(studies // 4) | measure_time()
    if adastop:
        figures |= measure_adastop(adastop, studies // 8)
    last_line(figures, machine())


def draw_arms(shape: str, effect: float, studies: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores of two arms [studies, MOST], the first one better by `effect` standard deviations of a difference."""
    size = (studies, MOST)
    x, y = rng.normal(0, 0.5**0.5, size), rng.normal(0, 0.5**0.5, size)
    if shape == "accuracies of 150 images":
        spread = (2 * 0.7 * 0.3 / 150) ** 0.5
        return rng.binomial(150, 0.7 + effect * spread, size) / 150 / spread, rng.binomial(150, 0.7, size) / 150 / spread
    if shape == "spread differs by seed":
        scale = np.exp(rng.normal(0, 0.7, size))
        x, y = x * scale / np.exp(0.49), y * scale / np.exp(0.49)
    elif shape == "one training in ten collapses":
        x, y = (scores - 5 * (rng.random(size) < 0.1) for scores in (x, y))
    elif shape == "one in ten of one arm collapses, equal means":
        x = x - 5 * (rng.random(size) < 0.1) + 0.5
    elif shape == "seeds shared, ICC .5":
        shared = rng.normal(0, 0.5**0.5, size)
        x, y = x + shared, y + shared
    return x + effect, y


SHAPES = (
    "normal",
    "accuracies of 150 images",
    "spread differs by seed",
    "one training in ten collapses",
    "seeds shared, ICC .5",
    "one in ten of one arm collapses, equal means",
)


def draw_claims(claims: int, effects: list[float], studies: int, rng: np.random.Generator) -> np.ndarray:
    """Return differences [studies, MOST, claims] of arms from one baseline: they correlate by .5. Claims without an effect have 0."""
    baseline, arms = rng.normal(0, 0.5**0.5, (studies, MOST, 1)), rng.normal(0, 0.5**0.5, (studies, MOST, claims))
    return arms - baseline + np.array(effects + [0.0] * (claims - len(effects)))


def run_studies(design: SequentialDesign, differences: np.ndarray, rng: np.random.Generator | None = None) -> list[list[list[ClaimAtLook]]]:
    """Return the looks of each study, from differences [studies, MOST, claims]. Without a generator all sign vectors are enumerated."""
    return [run_looks(design, d, draw_signs(rng) if rng else None) for d in differences]


def draw_signs(rng: np.random.Generator) -> np.ndarray:
    return make_sign_vectors(rng.integers(0, 2, (DRAWS, MOST)))


def count_decisions(results: list[list[list[ClaimAtLook]]], *decisions: str) -> np.ndarray:
    """Return which claims [studies, claims] ended with one of the decisions."""
    return np.array([[claim.decision in decisions for claim in looks[-1]] for looks in results])


def count_seeds(results: list[list[list[ClaimAtLook]]]) -> np.ndarray:
    """Return the seeds [studies, claims] after which each claim ended."""
    return np.array([[claim.look for claim in looks[-1]] for looks in results])


def test_fixed(differences: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the share of studies [MOST + 1] in which the sign-flip test of each fixed number of seeds rejects, from [studies, MOST]."""
    signs = draw_signs(rng)
    power = np.zeros(MOST + 1)
    for n in range(6, MOST + 1):
        sums = np.abs(signs[:, :n] @ differences[:, :n].T)
        power[n] = np.mean(np.mean(sums >= sums[0] - 1e-9, 0) <= 0.05)
    return power


def measure_errors(studies: int) -> dict[str, Any]:
    """Return type I errors of one claim and the coverage of its intervals, by shape."""
    rng, rows, figures = np.random.default_rng(1), [], {}
    for shape in SHAPES:
        x, y = draw_arms(shape, 0.0, studies, rng)
        results = run_studies(SequentialDesign(plan_looks(MOST), futility=0), (x - y)[:, :, None], rng)
        error = float(count_decisions(results, "better", "worse").mean())
        at_end = float(np.mean([looks[-1][0].low <= 0 <= looks[-1][0].high for looks in results]))
        fixed = float(test_fixed(x - y, rng)[MOST])
        rows.append((shape, error, fixed, at_end))
        figures[f"type I, {shape}"] = error
    header = ("no difference", "type I", "type I of 20 fixed seeds", "coverage at the end")
    show(f"one claim, {studies} studies a line: simulation error .005 at 2000", header, rows)
    return figures


def measure_effects(studies: int) -> dict[str, Any]:
    """Return power and seeds of one claim with an effect, beside fixed designs."""
    rng, rows, figures = np.random.default_rng(2), [], {}
    for shape in SHAPES[:-1]:
        for effect in EFFECTS:
            x, y = draw_arms(shape, effect, studies, rng)
            results = run_studies(SequentialDesign(plan_looks(MOST)), (x - y)[:, :, None])
            power, seeds = float(count_decisions(results, "better").mean()), float(count_seeds(results).mean())
            fixed = test_fixed(x - y, rng)
            equal = int(np.argmax(fixed >= power)) if fixed.max() >= power else MOST
            bias = float(np.mean([looks[-1][0].mean for looks in results])) - effect
            cover = float(np.mean([looks[-1][0].low <= effect <= looks[-1][0].high for looks in results]))
            rows.append((shape, effect, power, seeds, seeds / MOST, float(fixed[MOST]), equal, bias, cover))
            figures[f"{shape}, {effect} sd"] = {"power": power, "seeds": seeds, "fixed power": float(fixed[MOST]), "equal fixed": equal}
    header = ("difference", "sd", "power", "seeds", "of 20", "power of 20", "fixed of equal power", "bias", "coverage")
    show(f"one claim, {studies} studies a line", header, rows)
    return figures


def measure_futility(studies: int) -> dict[str, Any]:
    """Return power and seeds by the futility bound, the conditional power below which a claim is given up."""
    rng, rows, figures = np.random.default_rng(3), [], {}
    for futility in (0.0, 0.01, 0.02, 0.05, 0.1):
        row: list[float] = []
        for effect in (0.0, 0.5, 0.8, 1.2):
            d = rng.normal(effect, 1, (studies, MOST, 1))
            results = run_studies(SequentialDesign(plan_looks(MOST), futility=futility), d, rng)
            row += [float(count_decisions(results, "better", "worse").mean()), float(count_seeds(results).mean())]
        rows.append((futility, *row))
        figures[f"futility {futility}"] = [round(value, 3) for value in row]
    header = ("conditional power below", "0 sd: rejected", "seeds", ".5 sd", "seeds", ".8 sd", "seeds", "1.2 sd", "seeds")
    show(f"claims given up, one claim, {studies} studies a line", header, rows)
    return figures


def measure_families(studies: int) -> dict[str, Any]:
    """Return family-wise errors and trainings of several claims, if no claim is true and if some are."""
    rng, rows, figures = np.random.default_rng(4), [], {}
    for claims, effects in ((3, []), (7, []), (7, [1.2, 1.2, 1.2]), (7, [2.0, 1.2, 0.8, 0.8, 0.8, 0.8]), (14, []), (14, [1.2] * 7)):
        d = draw_claims(claims, list(effects), studies, rng)
        for futility in (0.0, 0.02, 0.3):
            results = run_studies(SequentialDesign(plan_looks(MOST), futility=futility), d, rng)
            wrong, found = count_decisions(results, "better", "worse"), count_decisions(results, "better")
            error = float(wrong[:, len(effects) :].any(1).mean())
            power = float(found[:, : len(effects)].mean()) if effects else np.nan
            seeds = count_seeds(results)
            row = (error, power, float(seeds.mean()), float(seeds.max(1).mean()))
            rows.append((f"{claims} claims, effects {effects or 'none'}", futility, *row))
            numbers = {"error": row[0], "seeds": round(row[2], 2), "last": round(row[3], 2)} | (
                {"power": round(power, 3)} if effects else {}
            )
            figures[f"{claims} claims, {effects}, futility {futility}"] = numbers
    header = ("claims", "futility", "family-wise error", "power", "seeds of a claim", "seeds of the last")
    show(f"several claims of one baseline, {studies} studies a line", header, rows)
    return figures


def measure_equivalence(studies: int) -> dict[str, Any]:
    """Return how often claims are called equivalent, by the true difference, with a margin of 1 standard deviation."""
    rng, rows, figures = np.random.default_rng(5), [], {}
    for claims in (1, 5):
        for effect in (0.0, 0.5, 1.0):
            d = draw_claims(claims, [effect] * claims, studies, rng)
            results = run_studies(SequentialDesign(plan_looks(MOST), margin=1.0), d, rng)
            equivalent = count_decisions(results, "equivalent")
            row = (float(equivalent.mean()), float(equivalent.any(1).mean()), float(count_seeds(results).mean()))
            rows.append((f"{claims} claims, all {effect} sd", *row))
            figures[f"{claims} claims, margin 1, {effect} sd"] = [round(value, 3) for value in row]
    show(f"equivalence, margin 1 sd, {studies} studies a line", ("claims", "equivalent", "at least one", "seeds"), rows)
    return figures


def measure_time() -> dict[str, Any]:
    """Return the seconds of a decision on 14 claims after 20 seeds, all sign vectors enumerated, with its intervals."""
    d = draw_claims(14, [0.0], 1, np.random.default_rng(6))[0]
    figures = {}
    for margin in (None, 0.5):
        seconds = []
        for _ in range(5):
            began = time.perf_counter()
            run_looks(SequentialDesign(plan_looks(MOST), margin=margin, futility=0), d)
            seconds.append(time.perf_counter() - began)
        figures[f"s, 14 claims, 20 seeds, margin {margin}"] = min(seconds)
    show("a decision", ("14 claims, 20 seeds, all six looks", "s, least of 5"), list(figures.items()))
    return figures


def measure_adastop(python: Path, studies: int) -> dict[str, Any]:
    """Return AdaStop's power and seeds, 5 seeds a look and at most 20, beside the sequential test's on the same trainings."""
    rng, rows, figures = np.random.default_rng(7), [], {}
    for shape in ("normal", "seeds shared, ICC .5"):
        for effect in (0.0, *EFFECTS):
            x, y = draw_arms(shape, effect, studies, rng)
            with tempfile.TemporaryDirectory(prefix="adastop-") as scratch:
                np.save(f"{scratch}/arms.npy", np.stack([x, y]))
                command = [str(python), "-c", ADASTOP, f"{scratch}/arms.npy", str(ADASTOP_ALPHA)]
                theirs = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            results = run_studies(SequentialDesign(plan_looks(MOST)), (x - y)[:, :, None])
            ours = [float(count_decisions(results, "better", "worse").mean()), float(count_seeds(results).mean())]
            rows.append((shape, effect, *ours, *theirs))
            figures[f"AdaStop, {shape}, {effect} sd"] = [round(value, 3) for value in (*ours, *theirs)]
    header = ("difference", "sd", "rejected", "seeds", f"AdaStop at {ADASTOP_ALPHA}: rejected", "seeds")
    show(f"beside AdaStop, {studies} studies a line", header, rows)
    return figures


if __name__ == "__main__":
    typer.run(main)
