"""benchmarks/search.py: its table goes on after a kill, its surrogate and regrets are right, and our searchers are the libraries' own."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.search import interval
from benchmarks.search_simulation import Ended, Suggestion, compute_regret, optimize_by_optuna, run_fmin, search
from benchmarks.search_surrogate import Surrogate, draw_heads
from benchmarks.search_table import TABLE, Head, draw_near, extend_table, read_space, read_table
from platform.search.searchers import SEARCHERS
from search_spaces import annealed_label_transfer, ciao
from search_spaces.search_space import Choice, OneOf, Real, Space, Whole
from search_spaces.space_tree import Parameters, describe_space, draw_parameters, find_parameters, make_settings
from trainables.registry import BadRequest

EPOCHS, SEEDS = 6, 2
SPACE: Space = {
    "rate": Real(1e-3, 1, log=True),
    "depth": Choice({1: {"width": Whole(1, 9)}, 2: {"width": Whole(1, 9), "deep": Whole(2, 8, log=True)}}),
    "how": OneOf(("a", "b", "c")),
}


def train(parameters: Parameters, seed: int) -> list[float]:
    """Return scores by epoch that rise to a height which the parameters determine."""
    height = 0.7 - 0.1 * abs(np.log10(parameters["rate"]) + 2) - 0.1 * (parameters["how"] == "b") + 0.01 * parameters["width"]  # type: ignore[arg-type, operator]
    noise = np.random.default_rng([seed, crc32(json.dumps(parameters).encode())]).normal(0, 0.03, EPOCHS)
    return np.clip(height * (1 - 0.5 ** np.arange(1, EPOCHS + 1)) + noise, 0, 1).tolist()


@pytest.fixture(scope="module")
def heads() -> list[Head]:
    return [Head(parameters, [train(parameters, seed) for seed in range(SEEDS)]) for parameters in draw_heads(SPACE, 60)]


@pytest.fixture(scope="module")
def surrogate(heads: list[Head]) -> Surrogate:
    return Surrogate(SPACE, heads)


JOBS = [(number, {"rate": number / 7}, seed) for number in range(4) for seed in range(SEEDS)]


def fill(file: Path, kill_after: int | None = None, jobs: list[Any] = JOBS, **changed: Any) -> list[tuple[Parameters, int]]:
    """Extend a table; return the trainings made. `kill_after` so many trainings, the next one ends in a KeyboardInterrupt."""
    made: list[tuple[Parameters, int]] = []

    def train_one(parameters: Parameters, seed: int) -> dict[str, Any]:
        if len(made) == kill_after:
            raise KeyboardInterrupt
        made.append((parameters, seed))
        return {"scores": [seed + len(json.dumps(parameters)) / 100, 0.5]}

    with contextlib.suppress(KeyboardInterrupt):
        extend_table(file, {"space": describe_space(SPACE), "machine": {"date": kill_after}} | changed, jobs, train_one)
    return made


@settings(max_examples=20)  # every line of a table is flushed to disk
@given(kill_after=st.integers(0, len(JOBS)), cut=st.integers(0, 30))
def test_a_table_goes_on_after_a_kill(tmp_path_factory: pytest.TempPathFactory, kill_after: int, cut: int) -> None:
    """Nothing is lost or trained twice, but for a last line that a kill left incomplete."""
    folder = tmp_path_factory.mktemp("tables")
    fill(folder / "whole.jsonl")
    first = fill(folder / "killed.jsonl", kill_after)
    if cut:
        with (folder / "killed.jsonl").open("ab") as file:
            file.write(b'{"head":3,"parameters":{"rate":0.4},"seed":1,"scores":[0.1,0.2]}\n'[:cut])
    second = fill(folder / "killed.jsonl")
    assert len(first) == kill_after and first + second == [job[1:] for job in JOBS]
    lines = [(folder / name).read_text().splitlines()[1:] for name in ("whole.jsonl", "killed.jsonl")]
    assert lines[0] == lines[1] and len(lines[0]) == len(JOBS)


def test_a_table_of_another_space_or_of_other_heads_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "table.jsonl"
    fill(file, 3)
    with pytest.raises(BadRequest, match="another space"):
        fill(file, space={})
    with pytest.raises(BadRequest, match="head 1 has other parameters"):
        fill(file, jobs=[(1, {"rate": 0.5}, 0)])
    assert [len(head.curves) for head in read_table(file)[1]] == [SEEDS], "a head that lacks a seed was read"


@pytest.mark.parametrize("space", [SPACE, ciao.SEARCH.space, annealed_label_transfer.SEARCHES[0].space])
def test_a_space_is_read_from_its_description(space: Space) -> None:
    assert read_space(json.loads(json.dumps(describe_space(space)))) == space


@given(number=st.integers(0, 10**6))
def test_heads_near_the_best_are_of_the_space(number: int) -> None:
    parameters = draw_near(SPACE, draw_heads(SPACE, 3), number)
    assert find_parameters(SPACE, make_settings(SPACE, parameters)) == parameters


def test_the_surrogate_returns_a_heads_own_mean_at_that_head(surrogate: Surrogate, heads: list[Head]) -> None:
    measured = np.array([head.curves for head in heads]).mean(1)
    np.testing.assert_allclose(surrogate.predict([head.parameters for head in heads]), measured, atol=1e-9)


def test_the_surrogate_ranks_heads_that_it_has_not_seen(surrogate: Surrogate) -> None:
    new = draw_heads(SPACE, 200)[60:]
    noiseless = [-abs(np.log10(head["rate"]) + 2) - (head["how"] == "b") + 0.1 * head["width"] for head in new]  # type: ignore[arg-type, operator]
    assert np.corrcoef(surrogate.predict(new)[:, -1], noiseless)[0, 1] > 0.8


def test_noise_has_the_size_of_the_seeds_deviations_and_a_true_score_is_its_expectation(surrogate: Surrogate) -> None:
    """The oracle is a simulation: .03 is the noise of `train`, and a score is the best epoch's mean over seeds."""
    (curve,) = surrogate.predict(draw_heads(SPACE, 1))
    drawn = np.array([surrogate.draw_curves(curve, np.random.default_rng(number)) for number in range(3000)])
    assert drawn.shape == (3000, SEEDS, EPOCHS)
    assert drawn.std(0).mean() == pytest.approx(0.03, rel=0.2)
    assert drawn.max(2).mean() == pytest.approx(surrogate.compute_true_score(curve), abs=0.002)


def test_what_a_seed_does_to_all_heads_is_no_noise(heads: list[Head], surrogate: Surrogate) -> None:
    shifted = [Head(head.parameters, [head.curves[0], [score + 0.1 for score in head.curves[1]]]) for head in heads]
    np.testing.assert_allclose(Surrogate(SPACE, shifted).deviations, surrogate.deviations, atol=1e-9)


def test_regret_is_that_of_the_highest_score_which_is_not_pruned() -> None:
    ended = [Ended({}, 0.5, 0.6, 1), Ended({}, 0.7, 0.55, 2), Ended({}, 0.9, 0.9, 3, pruned=True)]
    assert compute_regret(0.95, ended) == pytest.approx(0.4)
    assert compute_regret(0.95, ended[:1]) == pytest.approx(0.35)
    with pytest.raises(ValueError, match="none of 1"):
        compute_regret(0.95, ended[2:])


def test_a_search_in_two_slots_trains_every_suggestion_once(surrogate: Surrogate) -> None:
    one, two = (search(SEARCHERS["random"].suggest, surrogate, 3, 8, slots) for slots in (1, 2))
    assert [each.spent for each in one] == [EPOCHS * SEEDS * number for number in range(1, 9)]
    assert [each.parameters for each in two] == [each.parameters for each in one], "random suggestions do not depend on the slots"
    assert [each.score for each in two] == [each.score for each in one] and all(not each.pruned for each in two)


def test_pruning_goes_by_the_published_rule(surrogate: Surrogate) -> None:
    """At each rung a suggestion goes on if it is in the best third of those that reached it before (Li et al. 2020)."""
    rungs: dict[int, list[float]] = {2: [], 6: []}  # a third of the first seed's epochs, and all of them
    ended = search(SEARCHERS["random"].suggest, surrogate, 1, 30, pruning=True)
    whole = search(SEARCHERS["random"].suggest, surrogate, 1, 30)
    begun, pruned = 0, []
    for each, unpruned in zip(ended, whole, strict=True):
        assert each.parameters == unpruned.parameters
        epochs, begun = each.spent - begun, each.spent
        pruned.append(each.pruned)
        assert epochs in (*rungs, EPOCHS * SEEDS) and each.pruned == (epochs in rungs)
        if epochs == EPOCHS * SEEDS:
            assert each.score == unpruned.score
        else:
            assert each.score < np.percentile(rungs[epochs], 200 / 3), "stopped in the best third"
            rungs[epochs].append(each.score)
        for rung in (rung for rung in rungs if rung < epochs):
            score = max(Suggestion(surrogate, each.parameters, 1, len(pruned) - 1).curves[0, :rung])
            assert not rungs[rung] or score >= np.percentile(rungs[rung], 200 / 3), "not stopped below the best third"
            rungs[rung].append(score)
    assert 10 < sum(pruned) < 30


@pytest.mark.parametrize(("searcher", "loop"), [("optuna", optimize_by_optuna), ("hyperopt", run_fmin)])
@pytest.mark.parametrize("space", [SPACE, ciao.SEARCH.space], ids=["small", "ciao"])
def test_with_the_same_seeds_the_library_suggests_the_same(
    searcher: str, loop: Callable[[Surrogate, int, int], list[Ended]], space: Space
) -> None:
    """Beyond the ten suggestions at random, too: the libraries' own loops have the same past, and ours is told to them anew each time."""
    drawn = draw_heads(space, 12)
    rng = np.random.default_rng(0)
    surrogate = Surrogate(space, [Head(head, rng.random((SEEDS, EPOCHS)).tolist()) for head in drawn])
    ours, theirs = search(SEARCHERS[searcher].suggest, surrogate, 5, 25), loop(surrogate, 5, 25)
    assert [each.parameters for each in ours] == [each.parameters for each in theirs]
    assert ours == theirs


def test_an_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    ends = np.array([interval(rng.exponential(size=40)) for _ in range(300)])
    assert 0.88 < np.mean((ends[:, 0] <= 1) & (ends[:, 1] >= 1)) < 0.98
    assert interval(np.full(5, 0.25)) == (0.25, 0.25)


def test_the_table_is_of_the_space_that_it_names() -> None:
    description, heads = read_table(TABLE)
    space = read_space(description["space"])
    assert len(heads) >= 300 and len({json.dumps(head.parameters) for head in heads}) == len(heads)
    for head in heads:
        assert draw_parameters(space, lambda name, limits, head=head: head.parameters[name]) == head.parameters  # type: ignore[misc]
        assert all(0 <= score <= 1 for curve in head.curves for score in curve) and len(head.curves) == 2
    for line in map(json.loads, TABLE.read_text().splitlines()[1:]):
        assert len(line["scores"]) == description["epochs"] or "the loss" in line["failed"]
