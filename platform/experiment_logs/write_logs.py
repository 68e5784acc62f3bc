"""The option --log: which programs get the finished trainings, and writing to them without duplicates."""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from platform.terminal.progress import format_count, make_printable
from trainables.registry import BadRequest, make_unknown_error
from trainables.storage.store import RunFolder

if TYPE_CHECKING:  # TensorBoard's names take a second to import, and most grids write no log
    from platform.experiment_logs.finished_training import FinishedTraining


class ExperimentLog(Protocol):
    """An open log of one run folder."""

    def list_logged(self, keys: set[str]) -> set[str]:
        """Return those of these trainings that are logged. What a killed command has logged in part is removed."""

    def write(self, training: "FinishedTraining") -> None:
        """Log one training as a whole."""

    def close(self) -> None: ...


OpenLog = Callable[[RunFolder], ExperimentLog]
"""opens a program's log of a run folder. Raises BadRequest where this is not possible"""


def parse_logs(options: Sequence[str], folder: RunFolder) -> list[OpenLog]:
    """Return the logs that the options name. Each is opened once, so that one that cannot be written ends the command before it trains."""
    opens: list[OpenLog] = []
    for option in options:
        program, equals, target = option.partition("=")
        if program not in PROGRAMS:
            raise make_unknown_error("--log", program, PROGRAMS)
        if not (equals and target):
            raise BadRequest(f"--log {option}: expected --log {PROGRAMS[program][0]}")
        opens.append(PROGRAMS[program][1](target))
    for open_log in opens:
        open_log(folder).close()
    return opens


def _make_mlflow(target: str) -> OpenLog:
    from platform.experiment_logs.mlflow_log import MLflowLog

    return lambda folder: MLflowLog(target, folder)


def _make_wandb(target: str) -> OpenLog:
    from platform.experiment_logs.wandb_log import WandbLog

    return lambda folder: WandbLog(target, folder)


PROGRAMS: dict[str, tuple[str, Callable[[str], OpenLog]]] = {
    "mlflow": ("mlflow=URI", _make_mlflow),
    "wandb": ("wandb=offline", _make_wandb),
}
"""by program: the option's form, and a function of the option's value"""


def write_logs(opens: Sequence[OpenLog], folder: RunFolder, trainings: Callable[[], "Iterable[FinishedTraining]"]) -> None:
    """Write to each log the trainings that it lacks. Raises BadRequest if a log cannot be written; the same command then goes on."""
    for open_log in opens:
        log = open_log(folder)
        try:
            finished = {training.key: training for training in trainings()}  # a search may suggest the same settings twice
            logged = log.list_logged(set(finished))
            missing = [training for key, training in finished.items() if key not in logged]
            for training in missing:
                log.write(training)
        finally:
            log.close()
        print(make_printable(f"{log}: {format_count(len(missing), 'training')} logged, {len(logged)} were there"), file=sys.stderr)
