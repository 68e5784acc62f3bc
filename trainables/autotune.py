"""Choice: the arithmetic of a run folder on one kind of device, made once, by measuring the steps of the first cell trained there.

One for all cells of the folder: arms that are compared must not differ in their arithmetic.
"""

import re
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from trainables.execution.config import REFERENCE, ExecutionConfig, format_error, is_compiler_error
from trainables.methods.method import Method, Phase

CLEARLY = 0.95
"""another arithmetic than the reference must take less than this share of its time: chance alone must not choose"""
HOPELESS = 3.0
"""a candidate that takes this many times the reference's time in its second step is not measured further: bf16 without hardware for it"""
ROUNDS, ROUND_S = 4, 0.05
COMPILE_FROM_S = 600.0
"""compiling is tried where a worker has this much training before it: it takes a minute, and each worker pays some of it"""
PAID_BACK = 4.0
"""compiling must win this many times what it took: a study has several losses, and every worker compiles or loads each"""


@dataclass(frozen=True)
class AutotuneResult:
    """What was chosen, and why."""

    execution: ExecutionConfig
    milliseconds: dict[str, float] = field(default_factory=dict)
    """of a step, by arithmetic"""
    left_out: dict[str, str] = field(default_factory=dict)
    """which was not measured to the end, and why"""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "AutotuneResult":
        return cls(**content | {"execution": ExecutionConfig(**content["execution"])})


def get_device_kind(device: torch.device) -> str:
    """What kind of device it is: the same name, the same choice."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return f"CPU {model[1].strip()}" if model else "CPU"


def choose_execution(make: Callable[[ExecutionConfig], Method], device: torch.device, cells: int = 1) -> AutotuneResult:
    """Measure the first phase of the method that `make` makes, in every arithmetic that may pay, and choose the fastest.

    `cells` is how many such trainings one worker has before it: whether it pays to compile.
    """
    trial = _Timing(make, device)
    trial.time_candidates(_list_uncompiled(device))
    best = trial.choose_fastest()
    steps = cells * trial.steps
    if steps * trial.took[best] > COMPILE_FROM_S:
        began = time.perf_counter()
        trial.time_candidates([replace(best, compiled=True)], against=best)
        cost = time.perf_counter() - began
        compiled = trial.choose_fastest()
        if compiled.compiled and steps * (trial.took[best] - trial.took[compiled]) < PAID_BACK * cost:
            trial.left_out[str(compiled)] = f"it would not win back the {cost:.0f} s that compiling takes"
            compiled = best
        best = compiled
    times = {str(each): round(1e3 * seconds, 3) for each, seconds in trial.took.items()}
    return AutotuneResult(best, times, trial.left_out)


def _list_uncompiled(device: torch.device) -> list[ExecutionConfig]:
    """All but the compiled ones, the reference first."""
    layouts: list[Any] = ["channels_last", "contiguous"]
    eager = [ExecutionConfig(precision, layout) for precision in ("fp32", "bf16") for layout in layouts]
    return eager + [replace(each, recorded=True) for each in eager if device.type == "cuda"]


class _Timing:
    """Candidates at work, in turns, each with a method of its own."""

    def __init__(self, make: Callable[[ExecutionConfig], Method], device: torch.device) -> None:
        self.make, self.device = make, device
        self.took: dict[ExecutionConfig, float] = {}
        """seconds a step"""
        self.left_out: dict[str, str] = {}
        self.steps = 0
        """of a whole phase"""

    def choose_fastest(self) -> ExecutionConfig:
        fastest = min(self.took, key=self.took.__getitem__)
        return fastest if self.took[fastest] < CLEARLY * self.took[REFERENCE] else REFERENCE

    def time_candidates(self, candidates: Iterable[ExecutionConfig], against: ExecutionConfig | None = None) -> None:
        """Their medians over interleaved rounds; `against` is measured once more beside them."""
        running: dict[ExecutionConfig, Callable[[], None]] = {}
        for each in [*([against] if against else []), *candidates]:
            try:
                step = self._prepare_step(each)
                step()
                second = self._time_step(step)
            except Exception as error:
                known = is_compiler_error(error) or (isinstance(error, RuntimeError) and not isinstance(error, torch.OutOfMemoryError))
                if not (known and running):  # the first, the reference, must work
                    raise
                self.left_out[str(each)] = format_error(error)
                print(f"{each}: not used: {format_error(error)}", file=sys.stderr)
                continue
            if running and second > HOPELESS * self._time_step(next(iter(running.values()))):
                self.left_out[str(each)] = f"its second step took {1e3 * second:.0f} ms"
                continue
            running[each] = step
        times: dict[ExecutionConfig, list[float]] = {each: [] for each in running}
        for _ in range(ROUNDS):
            for each, step in running.items():
                times[each].append(self._time_step(step, ROUND_S))
        self.took |= {each: median(seconds) for each, seconds in times.items()}

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
        """Seconds a step, by as many as take `least` seconds, at least one; a GPU is waited for once, at the end."""
        self._synchronise()
        began, made = time.perf_counter(), 0
        while not made or time.perf_counter() - began < least:
            step()
            made += 1
        self._synchronise()
        return (time.perf_counter() - began) / made

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
