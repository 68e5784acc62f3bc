"""Measure what a search by TPE is worth: the regret of our searchers on a table of trained heads, also beside the libraries' own loops.

.venv/bin/python -m benchmarks.search reads search_table.jsonl (made once by benchmarks.search_table) and fits a surrogate to it. Searches
on the surrogate train nothing. The regret of a search is the best true score of the space less that of the suggestion with the highest
score, which is the one that a search recommends. A true score is an expectation; a search sees scores with the noise of two seeds.
Intervals are percentile bootstraps over the repetitions, 95 %. Searches of one repetition have their noise in common, and are compared
in pairs.
"""

from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from benchmarks.common import last_line, machine, show
from benchmarks.search_simulation import Ended, compute_regret, optimize_by_optuna, run_fmin, search
from benchmarks.search_surrogate import Surrogate, measure_ranks
from benchmarks.search_table import TABLE, read_space, read_table
from platform.search.searchers import SEARCHERS
from trainables.random_streams import make_generator

TRIALS = (10, 20, 40)
LIMIT = 0.005
"""highest upper end of the interval of our regret less the library's"""
COMPARED = ("optuna", "hyperopt", "random")
UNPAIRED = 100
"""repetitions where the searches of a pair draw other suggestions"""
BOOTSTRAPS = 10_000
PACKAGES = ("optuna", "hyperopt", "scikit-learn", "ray")

Loop = Callable[[Surrogate, int, int], list[Ended]]
"""a library's own loop: (surrogate, repetition, suggestions) -> what has ended"""


class Kind(NamedTuple):
    """A kind of search."""

    searcher: str
    slots: int
    pruning: bool

    def __str__(self) -> str:
        return f"{self.searcher}, {self.slots} slot{'s' * (self.slots > 1)}, {'ASHA' if self.pruning else 'none'}"


class Regrets(NamedTuple):
    """Regrets of the repetitions of a kind of search."""

    by_trials: np.ndarray
    """after TRIALS suggestions [repetitions, TRIALS]"""
    by_epochs: np.ndarray
    """after the epochs of TRIALS whole suggestions [repetitions, TRIALS]"""
    epochs: float
    """mean share of epochs that the last of TRIALS suggestions took, of those without pruning"""
    suggestions: float
    """mean number of suggestions that the epochs of the last of TRIALS were enough for"""


def main(
    repetitions: Annotated[int, typer.Option(min=2)] = 30,
    file: Annotated[Path, typer.Option(help="the table")] = TABLE,
    random_heads: Annotated[int, typer.Option(help="heads of the table that were drawn at random; the others are near their best")] = 300,
) -> None:
    """Measure, print tables, and end with one line of JSON. Exit code 1 if our wiring of a library is worse than its own loop."""
    machine_info = machine()
    description, heads = read_table(file)
    space = read_space(description["space"])
    ranks = measure_ranks(space, heads[:random_heads], heads[random_heads:])
    show(f"{len(heads)} heads, rank correlations", ("of", "Spearman"), list(ranks.items()))
    surrogate = Surrogate(space, heads)
    best = surrogate.find_best_score()
    published = best - surrogate.predict_head(description["published"])[1]
    print(f"\nbest true score {best:.4f}; regret of the settings that the study has: {published:.4f}")
    figures: dict[str, Any] = {"ranks": {name: round(value, 3) for name, value in ranks.items()}, "best": best, "published": published}
    figures |= measure_searchers(surrogate, best, repetitions)
    wiring, worse = measure_wiring(surrogate, best, repetitions)
    last_line(figures | wiring | {"versions": {name: version(name) for name in PACKAGES}, "table": description["machine"]}, machine_info)
    raise typer.Exit(int(worse))


def measure_searchers(surrogate: Surrogate, best: float, repetitions: int) -> dict[str, Any]:
    """Return regrets of every searcher, with one and two slots, with and without pruning, and what they differ by."""
    kinds = [Kind(name, slots, pruning) for slots in (1, 2) for pruning in (False, True) for name in COMPARED]
    results = {kind: measure_kind(surrogate, best, repetitions, kind) for kind in kinds}
    after = tuple(f"after {number}" for number in TRIALS)
    rows = [(kind, *map(describe, each.by_trials.T), each.epochs) for kind, each in results.items()]
    show(f"regret after so many suggestions, {repetitions} repetitions", ("search", *after, f"epochs of {TRIALS[-1]}"), rows)
    rows = [(kind, *map(describe, each.by_epochs.T), each.suggestions) for kind, each in results.items()]
    show("regret after the epochs of so many whole suggestions", ("search", *after, f"suggestions of {TRIALS[-1]}"), rows)
    pairs = {
        f"random less {kind}": results[kind._replace(searcher="random")].by_epochs - each.by_epochs
        for kind, each in results.items()
        if kind.searcher != "random"
    }
    pairs |= {
        f"without less with ASHA: {kind.searcher}, {kind.slots}": results[kind._replace(pruning=False)].by_epochs - each.by_epochs
        for kind, each in results.items()
        if kind.pruning
    }
    show(
        "differences in pairs, equal epochs; above 0: the second is better",
        ("pair", *after),
        [(name, *map(describe, d.T)) for name, d in pairs.items()],
    )
    figures: dict[str, Any] = {str(kind): list_figures(each.by_trials) for kind, each in results.items()}
    figures |= {f"{kind}, equal epochs": list_figures(each.by_epochs) for kind, each in results.items() if kind.pruning}
    return figures | {name: list_figures(d) for name, d in pairs.items()}


def measure_kind(surrogate: Surrogate, best: float, repetitions: int, kind: Kind) -> Regrets:
    """Return the regrets of a kind of search."""
    whole = surrogate.seeds * surrogate.epochs
    by_trials, by_epochs, epochs, suggestions = [], [], [], []
    for repetition in range(repetitions):
        suggest = SEARCHERS[kind.searcher].suggest
        ended = search(suggest, surrogate, repetition, TRIALS[-1], kind.slots, kind.pruning, (TRIALS[-1] + kind.slots - 1) * whole)
        by_trials.append([compute_regret(best, ended[:number]) for number in TRIALS])
        in_time = [[each for each in ended if each.spent <= (number + kind.slots - 1) * whole] for number in TRIALS]
        by_epochs.append([compute_regret(best, some) for some in in_time])
        epochs.append(ended[TRIALS[-1] - 1].spent / (TRIALS[-1] * whole))
        suggestions.append(len(in_time[-1]))
    return Regrets(np.array(by_trials), np.array(by_epochs), float(np.mean(epochs)), float(np.mean(suggestions)))


def measure_wiring(surrogate: Surrogate, best: float, repetitions: int) -> tuple[dict[str, Any], bool]:
    """Return our regret less that of the libraries' own loops, and whether the upper end of an interval with the same seeds is above LIMIT.

    With the same seeds all suggestions should be equal, and the differences 0. Optuna's loop with one sampler has another stream of
    random numbers: only the noise is paired there, so its interval is wide, even where both draw at random.
    """
    loops: list[tuple[str, str, Loop, int]] = [
        ("optuna", "study.optimize, the same seeds", optimize_by_optuna, repetitions),
        ("optuna", "study.optimize, one sampler", partial(optimize_by_optuna, one_sampler=True), max(repetitions, UNPAIRED)),
        ("hyperopt", "fmin, the same seeds", run_fmin, repetitions),
    ]

    @cache
    def search_by_ours(searcher: str, repetition: int) -> list[Ended]:
        return search(SEARCHERS[searcher].suggest, surrogate, repetition, TRIALS[-1])

    rows, figures, worse = [], dict[str, Any](), False
    for searcher, name, loop, count in loops:
        differences, equal = [], []
        for repetition in range(count):
            ours, theirs = search_by_ours(searcher, repetition), loop(surrogate, repetition, TRIALS[-1])
            equal.append(np.mean([a.parameters == b.parameters for a, b in zip(ours, theirs, strict=True)]))
            differences.append([compute_regret(best, ours[:number]) - compute_regret(best, theirs[:number]) for number in TRIALS])
        d = np.array(differences)
        worse |= "the same seeds" in name and any(interval(column)[1] > LIMIT for column in d.T)
        rows.append((name, count, *map(describe, d.T), f"{np.mean(equal):.1%}"))
        figures[f"ours less {name}"] = list_figures(d)
    header = ("own loop", "repetitions", *(f"after {number}" for number in TRIALS), "equal suggestions")
    show("our regret less that of the library's own loop", header, rows)
    return figures, worse


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of a mean: the percentile bootstrap."""
    means = values[make_generator(0, "bootstrap").integers(len(values), size=(BOOTSTRAPS, len(values)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def describe(values: np.ndarray) -> str:
    low, high = interval(values)
    return f"{values.mean():.4f} [{low:.4f}, {high:.4f}]"


def list_figures(values: np.ndarray) -> list[list[float]]:
    """Return the mean and the ends of its interval, for each of TRIALS."""
    return [[round(number, 4) for number in (float(column.mean()), *interval(column))] for column in values.T]


if __name__ == "__main__":
    typer.run(main)
