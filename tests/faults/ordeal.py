"""Ordeal: a grid in a run folder. The same command is run again until the grid is done, while tests inject faults."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests import tiny
from tests.faults import processes
from trainables.cell import Cell
from trainables.storage.store import RunFolder

ROOT = Path(__file__).resolve().parents[2]
WELL = ("well", "SC(c<-a)")
PATIENCE_S = 1200.0
"""seconds without a step, a result or an end that count as a hang; long, because the machine may be busy"""
LEFT_S = 60.0
"""seconds that processes of a command may outlive it: three times the promised time"""
GOES_ON = "the same command again"
CLOCK = {"time"}


class Broken(AssertionError):
    """A promise of the program was broken."""


def checkout(place: Path) -> Path:
    """Make a checkout with one more method and one more study, one file each, as a user adds them, and with the study's data set."""
    extra = ROOT / "tests" / "faults" / "checkout"
    copies = {
        "search_spaces/ordeal.py": "study.py",
        "trainables/methods/ordeal.py": "method.py",
        "drive.py": "drive.py",
    }
    for name in ("search_spaces", "trainables", "trainables/methods"):
        (place / name).mkdir(parents=True, exist_ok=True)
        for path in (ROOT / name).iterdir():
            if path.name not in ("__pycache__", "methods") and not (place / name / path.name).exists():
                (place / name / path.name).symlink_to(path)
    if not (place / "platform").exists():
        (place / "platform").symlink_to(ROOT / "platform")
    for target, name in copies.items():
        shutil.copyfile(extra / name, place / target)
    if not (place / "data").exists():
        tiny.files(place / "data")
    return place


def check_whole(folder: RunFolder, cells: Iterable[Cell]) -> None:
    """Check that no file is half-written or temporary, and that the TensorBoard run of each of `cells` has each epoch once.

    Raises Broken.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    root = Path(folder.root)
    if aside := list(root.rglob("*.aside")):
        raise Broken(f"left aside: {aside}")
    for cell in folder.get_cells():
        for path in root.glob(f"cells/{cell.key}/*.json"):
            try:
                json.loads(path.read_bytes())
            except ValueError as error:
                raise Broken(f"{path}: {error}") from None
    for cell in cells:
        curves = EventAccumulator(folder.get_path("tb", cell.name)).Reload()
        steps = [event.step for event in curves.Scalars("train/loss")]
        if steps != [row["step"] for row in folder.get_history(cell.key)]:
            raise Broken(f"{cell.name}: its curve has the steps {steps}")


@dataclass
class Ordeal:
    """A run folder, the command that trains its grid, and the command's state."""

    checkout: Path
    runs: Path
    seeds: int = 4
    slots: int = 2
    arms: tuple[str, ...] = WELL
    hang_s: float = 90.0
    """seconds without a step after which a worker ends itself; long, because the machine may be busy"""
    settings: tuple[str, ...] = ()
    """further values of --set"""
    process: subprocess.Popen[str] | None = None
    mark: str = ""
    said: str = ""
    """output of the last command"""
    code: int | None = None
    driver: int = 0
    """PID of the process that does the work of the last command"""
    began: float = 0.0
    patience_s: float = PATIENCE_S
    undo: list[Callable[[], None]] = field(default_factory=list)
    """functions that revert faults; they are called after a command's end"""
    killed: bool = False
    """the command itself was killed, so it prints no last line"""

    @property
    def folder(self) -> RunFolder:
        return RunFolder(str(self.runs / "ordeal-pocket"))

    @property
    def cache(self) -> Path:
        """The cache of decoded data. Each checkout has its own, because faults damage it too."""
        return self.checkout / "cache"

    @property
    def steps(self) -> Path:
        return self.checkout / f"{self.runs.name}.steps"

    def start(self, output: str = "output") -> None:
        """Start the command in the background."""
        only = ["--only", f"method={','.join(self.arms)}"]
        only += [word for setting in self.settings for word in ("--set", setting)]
        command = [sys.executable, "drive.py", "ordeal", *only, "--seeds", str(self.seeds), "--slots", str(self.slots)]
        self.mark, self.killed, self.code, self.said = uuid.uuid4().hex, False, None, ""
        environment = os.environ | {processes.MARK: self.mark, "ORDEAL_STEPS": str(self.steps), "ORDEAL_HANG_S": str(self.hang_s)}
        environment |= {"RAY_AUTH_MODE": "disabled", "FERRAY_CACHE": str(self.cache)}
        environment["RAY_worker_niceness"] = "0"  # otherwise Ray's workers yield to all other processes of a busy machine
        environment.pop("RAY_ADDRESS", None)
        self.output = (self.checkout / f"{self.runs.name}.{output}").open("w+")
        self.began = time.time()
        self.process = subprocess.Popen(
            [*command, "--runs", str(self.runs)],
            cwd=self.checkout,
            env=environment,
            stdout=self.output,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a test run in the background ignores SIGINT
        )

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def open(self) -> bool:
        """Whether a command was started and its end has not been checked yet."""
        return self.process is not None and self.code is None

    def wait(self, until: Callable[[], bool]) -> bool:
        """Return whether `until` became true before the command ended. Raises Broken if nothing happens for `patience_s` seconds."""
        state, since = self.life(), time.monotonic()
        while not until():
            if not self.running:
                return False
            self.driver = processes.driver_of(self.process.pid if self.process else 0) or self.driver
            if self.life() != state:
                state, since = self.life(), time.monotonic()
            if time.monotonic() - since > self.patience_s:
                raise Broken(f"nothing happened for {self.patience_s:.0f} s: {self.stacks()}")
            time.sleep(0.05)
        return True

    def training(self) -> bool:
        """Return whether a step was made since the command began."""
        return self.steps.exists() and self.steps.stat().st_mtime > self.began

    def life(self) -> tuple[object, ...]:
        """Return a state that changes while the command makes progress: the size of the step log and the number of cells' files."""
        size = self.steps.stat().st_size if self.steps.exists() else 0
        with suppress(OSError):
            return size, len(list(Path(self.folder.get_path("cells")).glob("*/*.json")))
        return size, 0

    def end(self) -> int:
        """Wait for the command's end and revert faults. Return the exit code. Raises Broken on a wrong last line or a surviving process."""
        assert self.process
        self.wait(lambda: False)
        self.code = self.process.wait()
        self.output.seek(0)
        self.said = self.output.read()
        self.output.close()
        for give_back in reversed(self.undo):
            give_back()
        self.undo.clear()
        if left := processes.gone(self.mark, LEFT_S):
            raise Broken(f"still alive after the end: {left}")
        if self.killed:
            return self.code
        last = (self.said.strip().splitlines() or [""])[-1]
        if "Traceback" in self.said:
            raise Broken(f"a traceback: {self.said}")
        if self.code not in (0, 1, 2, 130) or (self.code in (2, 130) and GOES_ON not in last and "nothing was started" not in last):
            raise Broken(f"exit {self.code}, and the last line is {last!r}: {self.said}")
        return self.code

    def until_done(self, times: int = 6) -> int:
        """Run the same command until the grid is done and return the number of runs."""
        for number in range(1, times + 1):
            if not self.open:
                self.start()
            if self.end() == 0:
                return number
        raise Broken(f"not done after {times} times; at last: {self.said}")

    def stacks(self) -> str:
        """Return the stacks of all threads of a hung command and the kernel functions in which its processes wait."""
        lines = []
        if self.process and self.running:
            if driver := processes.driver_of(self.process.pid):
                os.kill(driver, signal.SIGUSR1)
            time.sleep(1)
            self.output.seek(0)
            lines.append(self.output.read()[-8000:])
        for pid, title in processes.members(self.mark).items():
            with suppress(OSError):
                lines.append(f"{pid} {title[:60]} {Path(f'/proc/{pid}/wchan').read_text()}")
        return "\n".join(lines)

    def numbers(self) -> dict[str, object]:
        """Return every number of every cell of the healthy arms. No fault may change them."""
        numbers: dict[str, object] = {}
        for cell in self.folder.get_cells():
            if cell.axes["method"] not in WELL:
                continue
            result = self.folder.get_result(cell.key)
            if result is None:
                raise Broken(f"{cell.name} has no result: {self.folder.get_error(cell.key)}")
            values = {name: result[name] for name in ("metrics", "selected_epoch", "confusion", "split_hash", "counts", "flags", "classes")}
            rows = [{name: value for name, value in row.items() if name not in CLOCK} for row in self.folder.get_history(cell.key)]
            numbers[cell.key] = [values, rows, {name: array.tolist() for name, array in self.folder.get_predictions(cell.key).items()}]
        return numbers

    def alone(self, place: Path, seeds: int) -> "Ordeal":
        """Train the healthy cells of the first `seeds` seeds one after another in one process, without Ray, as a reference."""
        code = (
            "import sys, torch; torch.set_num_threads(1)\n"
            "from trainables.loop import train_cell; from trainables.storage.store import RunFolder\n"
            "grid, folder = RunFolder(sys.argv[1]), RunFolder(sys.argv[2])\n"
            "cells = [cell for cell in grid.get_cells() if cell.axes['method'] in sys.argv[4:] and cell.seed < int(sys.argv[3])]\n"
            "folder.put_grid('ordeal', 'pocket', cells)\n"
            "for cell in cells: train_cell(cell, folder)"
        )
        other = Ordeal(self.checkout, place)
        subprocess.run([sys.executable, "-c", code, self.folder.root, other.folder.root, str(seeds), *WELL], cwd=self.checkout, check=True)
        return other

    def compare_with_alone(self, place: Path, seeds: int) -> None:
        """Finish the grid. Check that no file is half-written and that the first seeds' numbers equal those of trainings without Ray."""
        self.until_done()
        self.whole()
        alone, numbers = self.alone(place, seeds).numbers(), self.numbers()
        assert len(alone) == seeds * len([arm for arm in self.arms if arm in WELL]) and {key: numbers[key] for key in alone} == alone

    def whole(self) -> None:
        check_whole(self.folder, [cell for cell in self.folder.get_cells() if cell.axes["method"] in WELL])

    def repeated(self, arms: Sequence[str] = ("no",)) -> int:
        """Return how many steps of these arms were repetitions of a step."""
        lines = [line.split() for line in self.steps.read_text().splitlines()] if self.steps.exists() else []
        counts = Counter(tuple(line[:4]) for line in lines if len(line) == 5 and line[0] in arms)
        return sum(counts.values()) - len(counts)
