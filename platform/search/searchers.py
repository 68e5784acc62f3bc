"""Searchers: functions that return the next suggestion. Each call builds the sampler from all earlier ones, so a search can be resumed.

Optuna takes a conditional space define-by-run, hyperopt as nested `hp.choice`. Both use only the libraries' own API.
"""

import math
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from search_spaces.search_space import STARTUP, Choice, Fixed, OneOf, Range, Real, Space, Whole
from search_spaces.space_tree import Parameters, draw_parameters, list_parameters

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

OPTUNA_TPE = {"n_startup_trials": STARTUP, "multivariate": True, "group": True, "constant_liar": True}
"""arguments of Optuna's sampler; those in which its releases 4 and 5 differ are explicit. `group`: the multivariate model of each set of
parameters that occur together; without it, Optuna draws conditional parameters independently"""
OPTUNA_GP = {"n_startup_trials": STARTUP, "deterministic_objective": False}
HYPEROPT_TPE = {"n_startup_jobs": STARTUP, "gamma": 0.25, "n_EI_candidates": 24, "prior_weight": 1.0}
"""arguments of hyperopt's `tpe.suggest`; the last three are its defaults"""


class PastSuggestion(NamedTuple):
    """A suggestion that was made before."""

    parameters: Parameters
    score: float | None
    """None: it is running or has failed"""
    running: bool = False
    stopped: int | None = None
    """the epochs after which a scheduler stopped it, with `score` at that time; None: it was not stopped"""


def compute_lie(past: list[PastSuggestion]) -> float:
    """Return the score that a searcher is told for a suggestion without one: the worst seen, less the smallest step of a float.

    The step keeps a failed suggestion from being taken for a good one when all scores are equal.
    """
    return math.nextafter(min((each.score for each in past if each.score is not None), default=0.0), -math.inf)


def suggest_by_tpe(space: Space, past: list[PastSuggestion], seed: int) -> Parameters:
    """Return the next suggestion of Optuna's multivariate TPE. Its constant liar takes running suggestions for bad ones."""
    return _suggest_by_optuna(space, past, optuna.samplers.TPESampler(seed=seed, **OPTUNA_TPE))  # type: ignore[arg-type]


def suggest_by_gp(space: Space, past: list[PastSuggestion], seed: int) -> Parameters:
    """Return the next suggestion of Optuna's Gaussian process. It models the parameters that every suggestion has, and draws others at
    random.
    """
    return _suggest_by_optuna(space, past, optuna.samplers.GPSampler(seed=seed, **OPTUNA_GP))  # type: ignore[arg-type]


def suggest_at_random(space: Space, past: list[PastSuggestion], seed: int) -> Parameters:
    return _suggest_by_optuna(space, [], optuna.samplers.RandomSampler(seed=seed))


def _suggest_by_optuna(space: Space, past: list[PastSuggestion], sampler: optuna.samplers.BaseSampler) -> Parameters:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    lie, distributions = compute_lie(past), {name: _make_distribution(limits) for name, limits in list_parameters(space).items()}
    for each in past:
        score = lie if each.score is None else each.score
        study.add_trial(
            create_trial(
                state=TrialState.RUNNING if each.running else TrialState.COMPLETE if each.stopped is None else TrialState.PRUNED,
                value=None if each.running else score,
                params=each.parameters,
                distributions={name: distributions[name] for name in each.parameters},
                intermediate_values={} if each.stopped is None else {each.stopped: score},
            )
        )
    return suggest_parameters(study.ask(), space)


def suggest_parameters(trial: optuna.Trial, space: Space) -> Parameters:
    """Return the parameters of one path, asked of an Optuna trial one after another."""

    def draw(name: str, limits: Range) -> Any:
        if isinstance(limits, Real):
            return trial.suggest_float(name, limits.low, limits.high, log=limits.log)
        if isinstance(limits, Whole):
            return trial.suggest_int(name, limits.low, limits.high, log=limits.log)
        return trial.suggest_categorical(name, limits.values)

    return draw_parameters(space, draw)


def _make_distribution(limits: Range) -> BaseDistribution:
    if isinstance(limits, Real):
        return FloatDistribution(limits.low, limits.high, log=limits.log)
    if isinstance(limits, Whole):
        return IntDistribution(limits.low, limits.high, log=limits.log)
    return CategoricalDistribution(limits.values)


def suggest_by_hyperopt(space: Space, past: list[PastSuggestion], seed: int) -> Parameters:
    """Return the next suggestion of hyperopt's TPE. It is told the worst score for running suggestions: a constant liar."""
    import hyperopt

    domain = make_domain(space)
    ranges, lie, trials = list_parameters(space), compute_lie(past), hyperopt.Trials()
    for number, each in enumerate(past):
        values = {name: [_encode_value(ranges[name], each.parameters[name])] if name in each.parameters else [] for name in domain.params}
        misc = {
            "tid": number,
            "cmd": domain.cmd,
            "workdir": domain.workdir,
            "idxs": {name: [number] * len(value) for name, value in values.items()},
            "vals": values,
        }
        result = {"status": hyperopt.STATUS_OK, "loss": -(lie if each.score is None else each.score)}
        (document,) = trials.new_trial_docs([number], [None], [result], [misc])
        trials.insert_trial_doc(document | {"state": hyperopt.JOB_STATE_DONE})
    trials.refresh()
    (suggested,) = hyperopt.tpe.suggest([len(past)], domain, trials, seed, verbose=False, **HYPEROPT_TPE)
    return read_document(space, suggested)


def make_domain(space: Space) -> Any:
    """Return the space as hyperopt's `Domain`."""
    import hyperopt

    return hyperopt.Domain(lambda parameters: 0.0, _make_hyperopt_space(space, {}))


def read_document(space: Space, document: dict[str, Any]) -> Parameters:
    """Return the parameters of a trial's document of hyperopt."""
    drawn = document["misc"]["vals"]
    return draw_parameters(space, lambda name, limits: _decode_value(limits, drawn[name][0]))


def _make_hyperopt_space(space: Space, made: dict[str, Any]) -> dict[str, Any]:
    """Return a space for hyperopt. Options that have a parameter in common share its node, as hyperopt requires; `made` holds them."""
    from hyperopt import hp

    def make(name: str, node: Range | Choice) -> Any:
        if isinstance(node, Choice):
            return hp.choice(name, [_make_hyperopt_space(option, made) for option in node.options.values()])
        if isinstance(node, OneOf):
            return hp.choice(name, list(node.values))
        if isinstance(node, Real):
            return hp.loguniform(name, math.log(node.low), math.log(node.high)) if node.log else hp.uniform(name, node.low, node.high)
        low, high = node.low - 0.5, node.high + 0.5  # half a step more, or rounding halves the probability of the ends
        return hp.qloguniform(name, math.log(low), math.log(high), 1) if node.log else hp.quniform(name, low, high, 1)

    for name, node in space.items():
        if not isinstance(node, Fixed) and name not in made:
            made[name] = make(name, node)
    return {name: made[name] for name, node in space.items() if not isinstance(node, Fixed)}


def _encode_value(limits: Range, value: Any) -> Any:
    return limits.values.index(value) if isinstance(limits, OneOf) else value


def _decode_value(limits: Range, value: Any) -> Any:
    if isinstance(limits, OneOf):
        return limits.values[int(value)]
    if isinstance(limits, Whole):
        return min(max(round(float(value)), limits.low), limits.high)
    return min(max(float(value), limits.low), limits.high)  # the exponential of a logarithm may lie an ulp outside


class Searcher(NamedTuple):
    """A searcher that `--searcher` names."""

    package: str
    suggest: Callable[[Space, list[PastSuggestion], int], Parameters]
    settings: dict[str, Any]

    def describe(self) -> dict[str, Any]:
        """Return what best.json says of it."""
        return {"package": self.package, "version": version(self.package), "settings": self.settings}


SEARCHERS = {
    "optuna": Searcher("optuna", suggest_by_tpe, OPTUNA_TPE),
    "hyperopt": Searcher("hyperopt", suggest_by_hyperopt, HYPEROPT_TPE),
    "gp": Searcher("optuna", suggest_by_gp, OPTUNA_GP),
    "random": Searcher("optuna", suggest_at_random, {}),
}
