"""Execution configurations compared: bf16 and compiled steps agree with plain fp32 up to rounding. A failed compilation is reported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests import tiny
from tests.test_methods import cell as make_any_cell
from trainables.autotune import AutotuneResult
from trainables.cell import Cell, Data
from trainables.execution.config import REFERENCE, ExecutionConfig
from trainables.loop import get_requested_execution, make_method, make_task, train_cell
from trainables.storage.store import RunFolder

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
Roles = dict[str, Data]


def losses(cell: Cell, execution: ExecutionConfig, steps: int = 2) -> list[float]:
    """Return the losses of the first steps of a cell's first phase."""
    phase = make_method(cell, make_task(cell, CPU), execution).build_phases()[0]
    phase.begin_phase()
    number = phase.start_epoch(0)
    phase.model.train()
    return [float(phase.train_step(step % number)["train/loss"]) for step in range(steps)]


@pytest.mark.parametrize("arm", ["SL(c+a)", "SC(c<-a)", "UC(c)"])
@pytest.mark.parametrize(
    ("other", "first", "second"),
    [
        (ExecutionConfig("bf16"), 0.01, 0.03),
        (ExecutionConfig("bf16", "contiguous"), 0.01, 0.03),
        (ExecutionConfig(layout="contiguous"), 1e-5, 1e-3),
    ],
)
def test_the_same_steps_to_rounding(roles: Roles, arm: str, other: ExecutionConfig, first: float, second: float) -> None:
    """The second loss must agree too, so the first step must have changed the parameters in the same way."""
    cell = tiny.cell(roles, arm, ratio=2)
    plain = losses(cell, REFERENCE)
    actual = losses(cell, other)
    assert actual[0] == pytest.approx(plain[0], rel=first) and actual[1] == pytest.approx(plain[1], rel=second)
    assert losses(cell, other) == losses(cell, other), "one arithmetic is exact"
    assert losses(cell, REFERENCE) == plain, "and leaves nothing behind"


def test_parameters_and_what_is_kept_stay_in_fp32(roles: Roles, tmp_path: Path) -> None:
    cell, folder = tiny.cell(roles, "SC(c)", precision="bf16"), RunFolder(str(tmp_path))
    result = train_cell(cell, folder)
    assert result["provenance"]["precision"] == "bf16" and result["provenance"]["execution"] == "bf16, channels_last, eager"
    floats = [tensor for tensor in folder.get_checkpoint(cell.key)["modules"].values() if tensor.is_floating_point()]
    assert floats and {tensor.dtype for tensor in floats} == {torch.float32}
    assert folder.get_predictions(cell.key)["probabilities"].dtype == "float32"


def test_compiled_steps_agree_and_are_compiled_once_for_all_cells(roles: Roles) -> None:
    from torch._dynamo.utils import counters

    cells = [tiny.cell(roles, "SC(c)", seed, ratio, **tiny.SOON_COMPILED) for seed, ratio in ((0, 1), (1, 2), (2, 2))]
    plain = [losses(cell, REFERENCE) for cell in cells]
    torch._dynamo.reset()  # another test in this process may have compiled the same function
    counters.clear()
    compiled = [losses(cell, ExecutionConfig(compiled=True)) for cell in cells]
    for compiled_pair, plain_pair in zip(compiled, plain, strict=True):
        assert compiled_pair[0] == pytest.approx(plain_pair[0], rel=1e-5) and compiled_pair[1] == pytest.approx(plain_pair[1], rel=1e-3)
    assert counters["stats"]["unique_graphs"] == 1, "other seeds and pools need no other code"


@pytest.mark.parametrize("name", ["annealed_label_transfer", "ciao", "from_scratch"])
def test_steps_of_other_studies_agree_when_compiled(roles: Roles, name: str) -> None:
    cell = make_any_cell(roles, name, "", **tiny.SOON_COMPILED if name != "ciao" else {})
    plain, compiled = losses(cell, REFERENCE), losses(cell, ExecutionConfig(compiled=True))
    assert compiled[0] == pytest.approx(plain[0], rel=1e-5) and compiled[1] == pytest.approx(plain[1], rel=1e-3)


COMPILED = """
import json, sys, torch
from trainables.execution.config import ExecutionConfig
from trainables.cell import Cell
from trainables.autotune import AutotuneResult
from trainables.loop import train_cell
from trainables.storage.store import RunFolder
torch.set_num_threads(1)
train_cell(Cell.from_json(json.load(open(sys.argv[1]))), RunFolder(sys.argv[2]), choice=AutotuneResult(ExecutionConfig(compiled=True)))
"""


def test_without_a_compiler_it_is_eager_and_says_so_once(roles: Roles, tmp_path: Path) -> None:
    cell, plain, folder = (
        tiny.cell(roles, "SC(c)", precision="auto"),
        RunFolder(str(tmp_path / "plain")),
        RunFolder(str(tmp_path / "compiled")),
    )
    folder.put_json(cell.to_json(), "cell.json")
    variables = {"PYTHONPATH": str(ROOT), "CXX": "/nonexistent/c++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-c", COMPILED, folder.get_path("cell.json"), folder.uri]
    process = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    (line,) = [line for line in process.stderr.splitlines() if "torch.compile failed" in line]
    assert line.startswith("torch.compile failed, and steps run slower: InductorError: ") and "C++ compiler" in line
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train_cell(cell, plain, choice=AutotuneResult(REFERENCE))
    torch.set_num_threads(threads)
    assert folder.get_history(cell.key)[-1]["train/loss"] == plain.get_history(cell.key)[-1]["train/loss"]


def test_a_method_that_cannot_be_computed_fails_as_itself(roles: Roles) -> None:
    """The error is the method's own, not the compiler's, and the method is not tried twice."""
    calls = 0

    def broken(x: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        raise ZeroDivisionError("the method's own")

    with pytest.raises(ZeroDivisionError, match="the method's own"):
        ExecutionConfig(compiled=True).call_compiled(broken, torch.ones(2))


def test_a_cell_may_ask_for_its_arithmetic(roles: Roles) -> None:
    auto, fp32, bf16 = (tiny.cell(roles, precision=precision) for precision in ("auto", "fp32", "bf16"))
    assert get_requested_execution(auto) is None
    assert get_requested_execution(fp32) == REFERENCE and get_requested_execution(bf16) == ExecutionConfig("bf16")
    assert len({auto.key, fp32.key, bf16.key}) == 3, "other numbers, another result"
