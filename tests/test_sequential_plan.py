"""The design file of a grid that adds seeds: written once, read back, and any other design refused by the name of what differs."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from platform.cli.application import make_application
from platform.grid import __main__ as grid
from platform.grid.estimate_blocks import describe_expected, simulate_seeds
from platform.grid.seed_blocks import BlockCells
from platform.launch.trials import BlockQueue
from platform.report.sequential_claims import make_plan
from platform.report.sequential_plan import SequentialPlan, fix_plan, list_changes, read_plan, refuse_plan
from search_spaces.claims import Claim
from tests import fake_blocks
from tests.test_dispatcher import DONE, OneByOne, run, started
from trainables.registry import BadRequest
from trainables.storage.store import RunFolder


def plan_of(most: int = 20, **changes: object) -> SequentialPlan:
    of = replace(fake_blocks.study(most), **changes)  # type: ignore[arg-type]
    return make_plan(of, fake_blocks.make_cells(of), most)


def test_it_is_written_once_and_read_back(tmp_path: Path) -> None:
    folder, plan = RunFolder(str(tmp_path / "run")), plan_of()
    refuse_plan(folder)
    fix_plan(folder, plan)
    content = json.loads((tmp_path / "run" / "sequential.json").read_text())
    assert read_plan(folder) == plan
    assert (content["looks"], content["most seeds"], content["alpha"], content["margin"]) == ([6, 8, 10, 12, 15, 20], 20, 0.05, 0.01)
    assert content["futility"] == 0.02 and "Lan & DeMets" in content["spending"] and "not repeated" in content["failed"]
    claims = {claim["text"]: claim for claim in content["claims"]}
    gain = claims["good gains more from a larger ratio than poor"]
    assert gain["a"] == {"method": "good", "ratio": 5} and gain["a_from"] == {"method": "good", "ratio": 1}, "FIRST and LAST have values"
    assert gain["conditions"] == [{"split": 0.5}] and claims["good beats poor"]["conditions"] == [
        {"split": 0.5, "ratio": 1},
        {"split": 0.5, "ratio": 5},
    ]
    before = (tmp_path / "run" / "sequential.json").read_bytes()
    fix_plan(folder, plan_of())
    assert (tmp_path / "run" / "sequential.json").read_bytes() == before
    with pytest.raises(BadRequest, match="its seeds are added until the claims are decided; go on with --until-decided, or name another"):
        refuse_plan(folder)


SMALL = {"method": ("good", "poor"), "split": (0.5,), "ratio": (1, 5), "seed": tuple(range(20))}
OTHER = fake_blocks.CLAIMS[0]


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (plan_of(12), "the most seeds 20, now 12"),
        (plan_of(rope=0.02), "the margin 0.01, now 0.02"),
        (plan_of(axes=SMALL), "axis method good, twin, poor, now good, poor"),
        (plan_of(claims=fake_blocks.CLAIMS[1:]), "without the claim 'good beats poor'"),
        (plan_of(claims=(*fake_blocks.CLAIMS, replace(OTHER, text="new"))), "with the new claim 'new'"),
        (plan_of(claims=(replace(OTHER, expect="equivalent"), *fake_blocks.CLAIMS[1:])), "another meaning of the claim 'good beats poor'"),
        (plan_of(claims=fake_blocks.CLAIMS[::-1]), "another order of the claims"),
        (plan_of(settings={"epochs": 3}), "other settings or data of the trainings"),
        (plan_of(metric="balanced_accuracy"), "metric test/accuracy, now test/balanced_accuracy"),
        (replace(plan_of(), design=replace(plan_of().design, looks=(10, 20))), "the looks 6, 8, 10, 12, 15, 20, now 10, 20"),
        (replace(plan_of(), design=replace(plan_of().design, alpha=0.01)), "alpha 0.05, now 0.01"),
    ],
)
def test_another_design_is_refused(other: SequentialPlan, says: str, tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path / "run"))
    fix_plan(folder, plan_of())
    with pytest.raises(BadRequest) as caught:
        fix_plan(folder, other)
    line = str(caught.value)
    assert line.startswith(f"{folder.uri}/sequential.json: ") and f"({says}" in line and "--runs" in line and "\n" not in line


def test_another_rule_is_a_change() -> None:
    plan = plan_of().to_json()
    assert list_changes(plan, plan) == []
    assert list_changes(plan | {"failed": "repeated"}, plan) == ["another failed"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"claims": []}', '{"study": 1, "digest": "0"}'])
def test_a_damaged_design_is_one_line(content: str, tmp_path: Path) -> None:
    folder = RunFolder(str(tmp_path))
    (tmp_path / "sequential.json").write_text(content)
    with pytest.raises(BadRequest, match=r"sequential\.json: is not a design"):
        read_plan(folder)


def test_a_grid_of_fixed_seeds_is_no_beginning(tmp_path: Path) -> None:
    folder, of = RunFolder(str(tmp_path)), fake_blocks.study(6)
    folder.put_grid(of.name, of.scale, fake_blocks.make_cells(of))
    with pytest.raises(BadRequest, match="holds a grid of a fixed number of seeds"):
        fix_plan(folder, plan_of())
    assert not (tmp_path / "sequential.json").exists()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--max-seeds", "12"], "--max-seeds 12: only with --until-decided; a fixed number of seeds is --seeds 12"),
        (["--until-decided", "--seeds", "5"], "--seeds 5: --until-decided finds the number of seeds itself"),
        (["--until-decided", "--max-seeds", "5"], "--max-seeds 5: a number from 6, with fewer no claim can be decided, to 60"),
        (["--until-decided", "--max-seeds", "61"], "--max-seeds 61: a number from 6"),
        (["--until-decided", "--only", "seed=1,2"], "--only seed=...: --until-decided finds the seeds itself"),
        (["annealed_label_transfer_gate", "--until-decided"], "annealed_label_transfer_gate has no claims to decide"),
        (["--until-decided", "--only", "method=SL(c)", "--only", "ratio=5"], "this grid can test none of its claims"),
    ],
)
def test_a_bad_request_is_one_line(options: list[str], line: str, tmp_path: Path) -> None:
    outcome = CliRunner().invoke(make_application(grid.main), [*options, "--runs", str(tmp_path)])
    assert outcome.exit_code == 2, outcome.output
    assert line in outcome.output and len(outcome.output.strip().splitlines()) == 1, outcome.output
    assert not list(tmp_path.iterdir())


def test_a_dry_run_refuses_what_the_command_would_refuse(tmp_path: Path) -> None:
    """The folder has the design of another grid, then a grid of a fixed number of seeds."""
    application, folder = make_application(grid.main), tmp_path / "adults_as_augmentation-pocket"
    fix_plan(RunFolder(str(folder)), plan_of())
    for options, says in (([], "go on with --until-decided"), (["--until-decided"], "was begun with another design")):
        run = CliRunner().invoke(application, ["--runs", str(tmp_path), "--dry-run", *options])
        assert run.exit_code == 2 and says in run.stderr and run.stderr.count("\n") == 1
    (folder / "sequential.json").rename(folder / "grid.json")
    run = CliRunner().invoke(application, ["--runs", str(tmp_path), "--dry-run", "--until-decided"])
    assert run.exit_code == 2 and "holds a grid of a fixed number of seeds" in run.stderr


def test_dry_run_says_the_least_the_most_and_what_is_expected(tmp_path: Path) -> None:
    options = ["--only", "method=SL(c),SC(c)", "--only", "split=.5", "--only", "ratio=1,5", "--set", "per_class=8", "--set", "epochs=2"]
    options += ["--set", "precision=fp32", "--set", "probe_epochs=2", "--slots", "2", "--max-seeds", "10", "--until-decided", "--dry-run"]
    outcome = CliRunner().invoke(make_application(grid.main), [*options, "--runs", str(tmp_path)])
    assert outcome.exit_code == 0 and not list(tmp_path.iterdir())
    assert "until 1 claim is decided: looks at 6, 8, 10 seeds" in outcome.output, outcome.output
    assert "at least 24 and at most 40 trainings, 0 done" in outcome.output
    rows = {line.split("  ")[0]: line.split() for line in outcome.output.splitlines()}
    assert "all given up at 6 seeds" in rows and "some open up to 10 seeds" in rows
    expected = [float(line[-3]) for name, line in rows.items() if name.startswith("expected, ")]
    assert len(expected) == 2 and all(24 <= number <= 40 for number in expected)


def test_the_expected_seeds_are_the_engines() -> None:
    """One claim of 1.2 standard deviations takes 11.8 of 20 seeds on average (benchmarks/sequential.py)."""
    plan = plan_of(claims=(Claim("good beats poor", {"method": "good"}, {"method": "poor"}),))
    seeds = [number for numbers in simulate_seeds(plan, 1.2) for number in numbers]
    assert 11 < sum(seeds) / len(seeds) < 12.6 and set(seeds) <= {6, 8, 10, 12, 15, 20}
    assert simulate_seeds(plan, 1.2, 20) == simulate_seeds(plan, 1.2)[:20]


def test_the_greatest_number_of_trainings_has_no_arm_that_is_in_no_claim() -> None:
    """`twin` is trained at the last ratio alone, and the fourth arm of the grid never."""
    claims = fake_blocks.CLAIMS[:2]
    of = fake_blocks.study(20, claims, (*fake_blocks.ARMS, "base"))
    cells = fake_blocks.make_cells(of)
    blocks = BlockCells(of, cells, make_plan(of, cells, 20))
    assert blocks.most == 20 * (2 + 2 + 1) < len(cells) == 20 * 4 * 2
    expected = re.fullmatch(
        r"expected: about (\d+) trainings in all if all differences are 1.2 standard deviations", describe_expected(blocks)
    )
    assert expected and 30 <= int(expected[1]) <= blocks.most


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_a_block_begins_when_all_of_the_one_before_have_ended(sizes: list[int], random: object) -> None:
    """The trials are single cells. Tune may ask at any time, and trials end in any order."""
    cells = [[f"{block}/{number}" for number in range(size)] for block, size in enumerate(sizes)]
    keys = iter([*cells, None])
    announced: list[str] = []

    class Named:
        def __init__(self, key: str) -> None:
            self.key = key

    def ask() -> list[Named] | None:
        block = next(keys)
        return None if block is None else [Named(key) for key in block]

    queue = BlockQueue(ask, lambda block: [[[each]] for each in block], announced.extend)  # type: ignore[arg-type, return-value]
    running: dict[str, str] = {}
    ended: list[str] = []
    number = 0
    while True:
        trial = queue.suggest_trial(str(number))
        if trial is None:
            break
        if trial:
            key = trial[0][0].key
            assert key in announced
            block = int(key.split("/")[0])
            assert {each for keys in cells[:block] for each in keys} <= set(ended), "an earlier block has not ended"
            running[str(number)] = key
            number += 1
        if running and (not trial or random.random() < 0.4):  # type: ignore[attr-defined]
            done = random.choice(sorted(running))  # type: ignore[attr-defined]
            ended.append(running.pop(done))
            queue.complete_trial(done)
    assert sorted(ended) == sorted(each for block in cells for each in block) == sorted(queue.handed) and queue.over and not running


def test_a_block_that_comes_again_is_an_error() -> None:
    cells = fake_blocks.make_cells(fake_blocks.study(6))[:2]
    queue = BlockQueue(lambda: cells, lambda block: [[block]], lambda keys: None)
    assert queue.suggest_trial("1") == [cells] and queue.suggest_trial("2") == []
    queue.complete_trial("1")
    with pytest.raises(RuntimeError, match="2 trainings of a block have not ended"):
        queue.suggest_trial("3")


def test_a_child_waits_for_a_parent_that_is_announced() -> None:
    """Trials of a block are posted in any order: the child's may come first."""

    async def test(dispatcher: OneByOne) -> None:
        await dispatcher.expect_cells(["parent", "child"])
        await dispatcher.post_trial("second", [{"key": "child", "parent": "parent", "axes": {}}])
        taking = await started(dispatcher.take_cell(0))
        assert not taking.done()
        await dispatcher.post_trial("first", [{"key": "parent", "parent": None, "axes": {}}])
        assert (await taking)["cell"]["key"] == "parent"
        await dispatcher.report_event(0, dict(DONE))
        assert (await dispatcher.take_cell(0))["cell"]["key"] == "child"
        await dispatcher.report_event(0, dict(DONE))
        await dispatcher.expect_cells(["parent"])  # trained again, because its parameters were not kept
        await dispatcher.post_trial("third", [{"key": "parent", "parent": None, "axes": {}}])
        assert (await dispatcher.take_cell(0))["cell"]["key"] == "parent"

    run(test)  # type: ignore[arg-type]
