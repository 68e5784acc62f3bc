"""Trainings as offline runs of Weights & Biases, in RUN/wandb. Nothing is sent: `wandb sync RUN/wandb/offline-run-*` is the user's."""

import os
import shutil
from pathlib import Path
from typing import Any

from platform.experiment_logs.finished_training import FinishedTraining
from platform.experiment_logs.project_name import name_project
from trainables.registry import BadRequest, join_lines
from trainables.storage.store import RunFolder

LOGGED = "logged.txt"
"""in RUN/wandb: the keys of the trainings that are logged as a whole, one a line. It outlives `wandb sync --clean`"""


class WandbLog:
    """The offline runs of one run folder. The project has its name."""

    def __init__(self, mode: str, folder: RunFolder) -> None:
        """Raises BadRequest for another mode than offline, for a folder in a bucket, and if the package is not installed."""
        if mode != "offline":
            raise BadRequest(f"--log wandb={mode}: only wandb=offline is known; `wandb sync` sends offline runs, if you want that")
        if not folder.local:
            raise BadRequest(f"--log wandb=offline: {folder.uri} is not on this machine's disk, where offline runs are kept")
        os.environ.update(WANDB_MODE="offline", WANDB_ERROR_REPORTING="false", DO_NOT_TRACK="true", WANDB_SILENT="true")
        try:
            import wandb
        except ImportError as error:
            raise BadRequest(f"--log wandb=offline needs {error.name}: pip install 'ferray[wandb]'") from None
        self._wandb: Any = wandb
        self.folder, self.place = folder, Path(folder.get_path("wandb"))
        self.project = name_project(folder)

    def __str__(self) -> str:
        return f"wandb=offline in {self.place}"

    def list_logged(self, keys: set[str]) -> set[str]:
        lines = (self.folder.get("wandb", LOGGED) or b"").decode(errors="replace").split("\n")
        logged = keys & set(lines)
        for partial in self.place.glob("offline-run-*"):
            if (key := partial.name.rpartition("-")[2]) in keys and key not in logged:
                shutil.rmtree(partial)
        return logged

    def write(self, training: FinishedTraining) -> None:
        wandb = self._wandb
        self.folder.make_folder(str(self.place))
        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            disable_code=True,
            save_code=False,
            x_disable_meta=True,
            x_disable_stats=True,
            x_disable_machine_info=True,
            x_save_requirements=False,
        )
        try:
            run = wandb.init(
                project=self.project,
                dir=self.folder.root,
                id=training.key,
                name=training.name,
                group=training.name.rpartition("/")[0] or None,
                config={**training.parameters, **{f"ferray/{name}": text for name, text in training.tags.items()}},
                mode="offline",
                reinit="create_new",
                settings=settings,
            )
            for step, time, numbers in training.curves:
                run.log(numbers | {"time": time}, step=step)
            run.summary.update(training.scores)
            run.finish()
        except wandb.Error as error:
            raise BadRequest(f"--log {self}: {join_lines(error)}") from None
        with open(self.place / LOGGED, "a", encoding="utf-8") as file:
            file.write(f"{training.key}\n")
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """End the process that wandb has started for its runs."""
        self._wandb.teardown()
