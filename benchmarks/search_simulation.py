"""Searches on a surrogate: ours in one or several slots, with and without pruning, and the libraries' own loops."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import hyperopt
import numpy as np
import optuna

from benchmarks.search_surrogate import Surrogate
from benchmarks.search_table import compute_score
from platform.launch.asha import Pruner, find_rung
from platform.search.searchers import HYPEROPT_TPE, OPTUNA_TPE, PastSuggestion, make_domain, read_document, suggest_parameters
from search_spaces.search_space import Space
from search_spaces.space_tree import Parameters
from trainables.random_streams import make_generator

Suggest = Callable[[Space, list[PastSuggestion], int], Parameters]


class Ended(NamedTuple):
    """A suggestion that has ended."""

    parameters: Parameters
    score: float
    """mean over seeds; of a pruned one that of the best epoch so far"""
    true: float
    spent: int
    """epochs that the search had spent by then"""
    pruned: bool = False


class Suggestion:
    """A suggestion in training: its seeds are trained one after the other."""

    def __init__(self, surrogate: Surrogate, parameters: Parameters, repetition: int, number: int) -> None:
        """The noise is that of the repetition and the number, so that searches of a repetition are paired."""
        curve, self.true = surrogate.predict_head(parameters)
        self.curves = surrogate.draw_curves(curve, make_generator(repetition, "noise", number))
        self.parameters, self.number, self.epoch = parameters, number, 0

    def train_epoch(self) -> None:
        self.epoch += 1

    @property
    def finished(self) -> bool:
        return self.epoch == self.curves.size

    @property
    def score(self) -> float:
        """The mean over the seeds begun of the score at the best epoch so far."""
        seen, epochs = self.curves.ravel()[: self.epoch], self.curves.shape[1]
        return compute_score([seen[start : start + epochs].tolist() for start in range(0, self.epoch, epochs)])

    def is_stopped(self, pruner: Pruner) -> bool:
        """Return whether the scheduler stops it at a rung that this epoch reaches: a third of the first seed's epochs, or all of them."""
        seeds, each = self.curves.shape
        rung = find_rung(self.epoch, each)
        return find_rung(self.epoch - 1, each) < rung < seeds and pruner.stops(self.number, rung, self.score)

    def end(self, spent: int) -> Ended:
        return Ended(self.parameters, self.score, self.true, spent, not self.finished)


def draw_seeds(repetition: int) -> Iterator[int]:
    """Yield the seeds of a repetition's suggestions, drawn as hyperopt's `fmin` draws them."""
    rng = np.random.default_rng(repetition)
    while True:
        yield int(rng.integers(2**31 - 1))


def search(
    suggest: Suggest, surrogate: Surrogate, repetition: int, trials: int, slots: int = 1, pruning: bool = False, epochs: int = 0
) -> list[Ended]:
    """Return the suggestions in the order in which they ended: at least `trials`, and until `epochs` have been spent.

    All slots train an epoch at a time. They begin apart, so that their suggestions do not end together.
    """
    pruner = Pruner() if pruning else None
    seeds, past, ended = draw_seeds(repetition), list[PastSuggestion](), list[Ended]()
    running: list[Suggestion | None] = [None] * slots
    turn = spent = 0
    while len(ended) < trials or spent < epochs:
        for slot in range(slots):
            if turn < slot * surrogate.seeds * surrogate.epochs // slots:
                continue
            suggestion = running[slot]
            if suggestion is None:
                suggestion = Suggestion(surrogate, suggest(surrogate.space, past, next(seeds)), repetition, len(past))
                past.append(PastSuggestion(suggestion.parameters, None, running=True))
            suggestion.train_epoch()
            spent += 1
            running[slot] = suggestion
            if suggestion.finished or (pruner and suggestion.is_stopped(pruner)):
                running[slot] = None
                ended.append(suggestion.end(spent))
                stopped = None if suggestion.finished else suggestion.epoch
                past[suggestion.number] = PastSuggestion(suggestion.parameters, suggestion.score, stopped=stopped)
        turn += 1
    return ended


def run_fmin(surrogate: Surrogate, repetition: int, trials: int) -> list[Ended]:
    """Return the suggestions of hyperopt's own loop, with our settings and the seeds of `draw_seeds`."""
    ended: list[Ended] = []

    def objective(expr: Any, memo: Any, ctrl: Any) -> float:
        parameters = read_document(surrogate.space, ctrl.current_trial)
        ended.append(_train(surrogate, parameters, repetition, len(ended)))
        return -ended[-1].score

    hyperopt.fmin(
        objective,
        make_domain(surrogate.space).expr,
        partial(hyperopt.tpe.suggest, verbose=False, **HYPEROPT_TPE),
        max_evals=trials,
        rstate=np.random.default_rng(repetition),
        pass_expr_memo_ctrl=True,
        verbose=False,
    )
    return ended


def optimize_by_optuna(surrogate: Surrogate, repetition: int, trials: int, one_sampler: bool = False) -> list[Ended]:
    """Return the suggestions of Optuna's own loop, with our settings.

    The sampler gets the seeds of `draw_seeds`, one a suggestion; or it keeps the first and goes on by its own stream of random numbers.
    """
    seeds, ended = draw_seeds(repetition), list[Ended]()

    def make_sampler() -> optuna.samplers.TPESampler:
        return optuna.samplers.TPESampler(seed=next(seeds), **OPTUNA_TPE)  # type: ignore[arg-type]

    def objective(trial: optuna.Trial) -> float:
        ended.append(_train(surrogate, suggest_parameters(trial, surrogate.space), repetition, len(ended)))
        return ended[-1].score

    def reseed(study: optuna.Study, trial: Any) -> None:
        study.sampler = make_sampler()

    study = optuna.create_study(direction="maximize", sampler=make_sampler())
    study.optimize(objective, trials, callbacks=None if one_sampler else [reseed])
    return ended


def _train(surrogate: Surrogate, parameters: Parameters, repetition: int, number: int) -> Ended:
    suggestion = Suggestion(surrogate, parameters, repetition, number)
    suggestion.epoch = suggestion.curves.size
    return suggestion.end((number + 1) * suggestion.curves.size)


def compute_regret(best: float, ended: list[Ended]) -> float:
    """Return the regret of the suggestion that a search would recommend, the one of the highest score among those not pruned."""
    finished = [each for each in ended if not each.pruned]
    if not finished:
        raise ValueError(f"none of {len(ended)} suggestions is finished, so none can be recommended")
    return best - max(finished, key=lambda each: each.score).true
