"""Autotuning: choose the execution configuration of a run folder on one kind of device by timing steps.

The choice is made once, with the first cell trained there. It holds for all cells of the folder, because compared arms must not differ in
their execution configuration.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from pydantic import TypeAdapter

from trainables.execution.config import REFERENCE, ExecutionConfig, format_error, is_compiler_error
from trainables.methods.method import Method, Phase

CLEARLY = 0.95
"""Another configuration than the reference must take less than this share of its time, so that timing noise alone does not choose."""
HOPELESS = 3.0
"""A candidate whose second step takes more than this many times the baseline's is not timed further: bf16 without hardware for it."""
ROUNDS, ROUND_S = 4, 0.05
COMPILE_FROM_S = 600.0
"""Compilation is tried above this many seconds of training per worker: it takes a minute, and each worker pays part of it."""
PAID_BACK = 4.0
"""Compilation must save this many times its cost: a study has several losses, and every worker compiles or loads each."""


@dataclass(frozen=True)
class AutotuneResult:
    """The chosen execution configuration, and the reasons for the choice."""

    execution: ExecutionConfig
    milliseconds: dict[str, float] = field(default_factory=dict)
    """Milliseconds per step, by configuration."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Configurations that were not timed to the end or do not pay, and the reason."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "AutotuneResult":
        """Return the choice that `to_json` made plain containers of, also after JSON. Raises ValueError for what is not one."""
        choice: AutotuneResult = TypeAdapter(cls).validate_json(json.dumps(content), strict=True)
        if asdict(choice.execution) != content["execution"] or not set(content) <= set(asdict(choice)):
            raise ValueError("it has other names than a choice")  # else a default would stand for a name that is spelt differently
        return choice


def get_device_kind(device: torch.device) -> str:
    """Return the kind of the device. Devices with the same name share one choice."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return f"CPU {model[1].strip()}" if model else "CPU"


def choose_execution(make: Callable[[ExecutionConfig], Method], device: torch.device, cells: int = 1) -> AutotuneResult:
    """Time the first phase of the method that `make` builds, in every configuration that may pay, and return the fastest.

    `cells` is the number of such trainings that one worker has ahead. It decides whether compilation pays.
    """
    timing = _Timing(make, device)
    timing.time_candidates(_list_uncompiled(device))
    best = timing.choose_fastest()
    steps = cells * timing.steps
    if steps * timing.took[best] > COMPILE_FROM_S:
        start = time.perf_counter()
        timing.time_candidates([replace(best, compiled=True)], against=best)
        cost = time.perf_counter() - start
        compiled = timing.choose_fastest()
        if compiled.compiled and steps * (timing.took[best] - timing.took[compiled]) < PAID_BACK * cost:
            timing.left_out[str(compiled)] = f"it would not win back the {cost:.0f} s that compiling takes"
            compiled = best
        best = compiled
    times = {str(execution): round(1e3 * seconds, 3) for execution, seconds in timing.took.items()}
    return AutotuneResult(best, times, timing.left_out)


def _list_uncompiled(device: torch.device) -> list[ExecutionConfig]:
    """Return all configurations without compilation, the reference first."""
    layouts: list[Any] = ["channels_last", "contiguous"]
    eager = [ExecutionConfig(precision, layout) for precision in ("fp32", "bf16") for layout in layouts]
    return eager + [replace(execution, recorded=True) for execution in eager if device.type == "cuda"]


class _Timing:
    """Times candidate configurations in turn, each with its own method."""

    def __init__(self, make: Callable[[ExecutionConfig], Method], device: torch.device) -> None:
        self.make, self.device = make, device
        self.took: dict[ExecutionConfig, float] = {}
        """Seconds per step, by configuration."""
        self.left_out: dict[str, str] = {}
        self.steps = 0
        """Steps of a whole phase."""

    def choose_fastest(self) -> ExecutionConfig:
        fastest = min(self.took, key=self.took.__getitem__)
        return fastest if self.took[fastest] < CLEARLY * self.took[REFERENCE] else REFERENCE

    def time_candidates(self, candidates: Iterable[ExecutionConfig], against: ExecutionConfig | None = None) -> None:
        """Measure the candidates' median step times over interleaved rounds. `against` is measured again beside them, as the baseline."""
        running: dict[ExecutionConfig, Callable[[], None]] = {}
        for execution in [*([against] if against else []), *candidates]:
            try:
                step = self._prepare_step(execution)
                step()
                second_step_s = self._time_step(step)
            except Exception as error:
                tolerated = is_compiler_error(error) or (isinstance(error, RuntimeError) and not isinstance(error, torch.OutOfMemoryError))
                if not (tolerated and running):  # the first one, the baseline, must work
                    raise
                self.left_out[str(execution)] = format_error(error)
                print(f"{execution}: not used: {format_error(error)}", file=sys.stderr)
                continue
            if running and second_step_s > HOPELESS * self._time_step(next(iter(running.values()))):
                self.left_out[str(execution)] = f"its second step took {1e3 * second_step_s:.0f} ms"
                continue
            running[execution] = step
        times: dict[ExecutionConfig, list[float]] = {execution: [] for execution in running}
        for _ in range(ROUNDS):
            for execution, step in running.items():
                times[execution].append(self._time_step(step, ROUND_S))
        self.took |= {execution: median(seconds) for execution, seconds in times.items()}

    def _prepare_step(self, execution: ExecutionConfig) -> Callable[[], None]:
        phase: Phase = self.make(execution).build_phases()[0]
        with execution.autocast(self.device):
            phase.begin_phase()
            steps = phase.start_epoch(0)
        phase.model.train()
        self.steps = phase.epochs * steps
        made = 0

        def step() -> None:
            nonlocal made
            phase.train_step(made % steps)
            made += 1

        return step

    def _time_step(self, step: Callable[[], None], least: float = 0.0) -> float:
        """Return the mean seconds per step, over at least one step and `least` seconds. A GPU is waited for at the ends only."""
        self._synchronise()
        start, count = time.perf_counter(), 0
        while not count or time.perf_counter() - start < least:
            step()
            count += 1
        self._synchronise()
        return (time.perf_counter() - start) / count

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
