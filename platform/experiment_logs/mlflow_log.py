"""Trainings as runs of MLflow: in a database (sqlite:///FILE) or on a server. The experiment has the run folder's name."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from platform.experiment_logs.finished_training import FinishedTraining
from platform.experiment_logs.project_name import name_project
from trainables.registry import BadRequest, join_lines
from trainables.storage.store import RunFolder

KEY = "ferray.key"
"""tag of a training's key"""
PER_CALL = {"metrics": 1000, "params": 100, "tags": 100}
"""the most entries of a kind that a server takes at once"""
LONGEST = {"params": 6000, "tags": 8000}
"""characters of a value"""
Thing = TypeVar("Thing")


class MLflowLog:
    """The experiment of one run folder. Nothing but these runs is sent: MLflow's own usage statistics are off."""

    def __init__(self, uri: str, folder: RunFolder) -> None:
        """Raises BadRequest if MLflow is not installed, or if there is no such store."""
        os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # by default a server that is off is tried for minutes
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        try:
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise BadRequest(f"--log mlflow={uri} needs {error.name}: pip install 'ferray[mlflow]'") from None
        self.uri, self._error = uri, MlflowException
        name = name_project(folder)
        with self._name_errors():
            self.client: Any = MlflowClient(tracking_uri=uri)
            found = self.client.get_experiment_by_name(name)
            self.experiment = found.experiment_id if found else self.client.create_experiment(name)

    def __str__(self) -> str:
        return f"mlflow={self.uri}"

    def list_logged(self, keys: set[str]) -> set[str]:
        logged: set[str] = set()
        with self._name_errors():
            for run in self._list_runs():
                if (key := run.data.tags.get(KEY)) not in keys:
                    continue
                if run.info.status == "FINISHED" and key not in logged:
                    logged.add(key)
                else:
                    self.client.delete_run(run.info.run_id)
        return logged

    def _list_runs(self) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs([self.experiment], page_token=token)
            yield from page
            if not (token := page.token):
                return

    def write(self, training: FinishedTraining) -> None:
        from mlflow.entities import Metric, Param, RunTag

        times = [round(1000 * time) for _, time, _ in training.curves] or [0]
        step = training.curves[-1][0] if training.curves else 0
        metrics = [
            Metric(_clean_name(name), value, time, at)
            for (at, _, numbers), time in zip(training.curves, times, strict=False)
            for name, value in numbers.items()
        ] + [Metric(_clean_name(name), value, times[-1], step) for name, value in training.scores.items()]
        params = [Param(_clean_name(name), str(value)[: LONGEST["params"]]) for name, value in training.parameters.items()]
        tags = [RunTag(f"ferray.{_clean_name(name)}", text[: LONGEST["tags"]]) for name, text in training.tags.items()]
        with self._name_errors():
            run = self.client.create_run(self.experiment, start_time=times[0], run_name=training.name, tags={KEY: training.key}).info.run_id
            for kind, entries in (("metrics", metrics), ("params", params), ("tags", tags)):
                for part in _split(entries, PER_CALL[kind]):
                    self.client.log_batch(run, **{kind: part})
            self.client.set_terminated(run, "FINISHED", times[-1])

    def close(self) -> None:
        pass

    @contextmanager
    def _name_errors(self) -> Iterator[None]:
        try:
            yield
        except (self._error, OSError, ImportError) as error:
            raise BadRequest(f"--log {self}: {join_lines(error)}") from None


def _split(entries: list[Thing], size: int) -> Iterator[list[Thing]]:
    rest = iter(entries)
    while part := list(islice(rest, size)):
        yield part


def _clean_name(name: str) -> str:
    """Return a name of letters that MLflow takes."""
    return re.sub(r"[^\w./\- :]", "_", name)
