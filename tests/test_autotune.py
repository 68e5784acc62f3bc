"""Autotuning measures real steps, once per run folder. It never chooses what does not work or what is only marginally faster."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny
from trainables import autotune as module
from trainables.autotune import AutotuneResult, _Timing, choose_execution, get_device_kind
from trainables.cell import Cell, Data
from trainables.execution.config import REFERENCE, ExecutionConfig
from trainables.loop import get_or_choose_execution, make_method, make_task, train_cell
from trainables.methods.method import Method
from trainables.storage.store import RunFolder

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
Roles = dict[str, Data]
BF16, CONTIGUOUS = ExecutionConfig("bf16"), ExecutionConfig(layout="contiguous")


pytestmark = pytest.mark.usefixtures("quick_autotune")


def maker(cell: Cell) -> Any:
    task = make_task(cell, CPU)
    return lambda execution: make_method(cell, task, execution)


def test_it_is_the_fastest_or_the_reference(roles: Roles) -> None:
    result = choose_execution(maker(tiny.cell(roles, "SC(c)", ratio=2)), CPU)
    measured = result.milliseconds | dict.fromkeys(result.left_out, 0.0)
    assert measured.keys() == {f"{p}, {layout}, eager" for p in ("fp32", "bf16") for layout in ("channels_last", "contiguous")}
    fastest = min(result.milliseconds, key=result.milliseconds.__getitem__)
    assert str(result.execution) in (fastest, str(REFERENCE))
    assert AutotuneResult.from_json(json.loads(json.dumps(result.to_json()))) == result


@pytest.mark.parametrize(("bf16_s", "best"), [(0.96, REFERENCE), (0.94, BF16), (1.2, REFERENCE)])
def test_chance_does_not_choose(bf16_s: float, best: ExecutionConfig) -> None:
    trial = _Timing(lambda execution: pytest.fail("nothing to make"), CPU)
    trial.took = {REFERENCE: 1.0, CONTIGUOUS: 0.97, BF16: bf16_s}
    assert trial.choose_fastest() == best


def test_what_does_not_work_is_left_out(roles: Roles, capsys: pytest.CaptureFixture[str]) -> None:
    make = maker(tiny.cell(roles))

    def fails(execution: ExecutionConfig) -> Method:
        if execution.precision == "bf16":
            raise RuntimeError("could not create a primitive descriptor\nand more")
        return make(execution)

    result = choose_execution(fails, CPU)
    assert result.execution.precision == "fp32" and len(result.milliseconds) == 2
    assert result.left_out == dict.fromkeys(
        map(str, (BF16, ExecutionConfig("bf16", "contiguous"))), "RuntimeError: could not create a primitive descriptor"
    )
    assert "bf16, channels_last, eager: not used: RuntimeError: could not" in capsys.readouterr().err


def test_what_works_nowhere_is_an_error(roles: Roles) -> None:
    def fails(execution: ExecutionConfig) -> Method:
        raise RuntimeError("no such device")

    with pytest.raises(RuntimeError, match="no such device"):
        choose_execution(fails, CPU)


def test_it_is_compiled_only_where_that_wins_its_time_back(roles: Roles, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single cell that trains for a second never does. 10^9 such cells do, if a compiled step is faster at all."""
    make = maker(tiny.cell(roles, "SC(c)", ratio=2, **tiny.SOON_COMPILED))
    assert not any("compiled" in name for name in choose_execution(make, CPU).milliseconds)
    monkeypatch.setattr(module, "COMPILE_FROM_S", 0.0)
    result = choose_execution(make, CPU)
    (name,) = [name for name in result.milliseconds if "compiled" in name]
    assert not result.execution.compiled and (name not in result.left_out or "win back" in result.left_out[name])
    result_of_many = choose_execution(make, CPU, cells=10**9)
    fastest = min(result_of_many.milliseconds, key=result_of_many.milliseconds.__getitem__)
    assert result_of_many.execution.compiled == ("compiled" in fastest and "compiled" in str(result_of_many.execution))


def test_a_run_folder_chooses_once(roles: Roles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, folder = tiny.cell(roles, "SC(c)"), tiny.cell(roles, "SL(c)"), RunFolder(str(tmp_path))
    chosen = get_or_choose_execution(first, folder)
    monkeypatch.setattr("trainables.loop.choose_execution", lambda *_: pytest.fail("measured again"))
    assert get_or_choose_execution(second, RunFolder(str(tmp_path))) == chosen
    (file,) = (tmp_path / "execution").iterdir()
    assert json.loads(file.read_text())["device"] == get_device_kind(CPU)
    second = tiny.cell(roles, "SL(c)", precision="auto")
    result = train_cell(second, folder, choice=chosen)
    assert AutotuneResult.from_json(result["execution"]) == chosen and result["provenance"]["precision"] == chosen.execution.precision


CHOOSES = """
import json, sys, torch
from trainables.cell import Cell
from trainables.loop import get_or_choose_execution
from trainables.storage.store import RunFolder
torch.set_num_threads(1)
print(json.dumps(get_or_choose_execution(Cell.from_json(json.load(open(sys.argv[1]))), RunFolder(sys.argv[2])).to_json()))
"""


def test_a_processor_without_bf16_computes_in_fp32(roles: Roles, tmp_path: Path) -> None:
    """The libraries are restricted to the instructions of such a processor, where emulated bf16 takes many times as long."""
    folder = RunFolder(str(tmp_path))
    folder.put_json(tiny.cell(roles, "SC(c)", ratio=2, batch=32).to_json(), "cell.json")
    old = {"PYTHONPATH": str(ROOT), "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    command = [sys.executable, "-c", CHOOSES, folder.get_path("cell.json"), folder.uri]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | old, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert AutotuneResult.from_json(json.loads(done.stdout.splitlines()[-1])).execution.precision == "fp32"


def test_a_run_folder_from_before_keeps_its_execution_configuration(tmp_path: Path) -> None:
    """Before 0.1.0 it was in another folder, under another key. The remaining cells must be trained as the finished ones were."""
    folder, choice = RunFolder(str(tmp_path)), AutotuneResult(ExecutionConfig("bf16"))
    content = choice.to_json()
    folder.put_json({"device": "a cpu", "arithmetic": content.pop("execution"), **content}, "arithmetic", "a-cpu.json")
    assert folder.get_choice("a cpu", AutotuneResult.from_json) == choice
