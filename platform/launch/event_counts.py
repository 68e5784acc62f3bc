"""What the events of a command's trainings add up to: how many have ended, which run, how fast, and their scores."""

import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from platform.terminal.progress import format_duration
from trainables.workers.worker_messages import Event

if TYPE_CHECKING:
    from trainables.cell import Cell  # it imports pandas, for which `status` has no time


class EventCounts:
    """Counts of a command's trainings. Tune's thread counts the events, and the main thread reads the counts."""

    def __init__(self, compared: str, cells: "Iterable[Cell]", total: int, done: int = 0, failed: int = 0, most: int = 0) -> None:
        """`compared` is the axis by whose values scores are averaged. `done` and `failed` have ended in earlier commands.

        `most` is the greatest number of trainings, where the total grows by decisions; 0 where it does not.
        """
        self.compared, self.total, self.done, self.failed, self.most = compared, total, done, failed, most
        self._cells: dict[str, tuple[str, str]] = {}
        self._scores: dict[str, list[float]] = {}
        """by value of the compared axis, in the order of the cells"""
        self._lock = threading.RLock()
        self.add_cells(cells)
        self.began = time.monotonic()
        self.first: float | None = None
        """time of the first event of an epoch; the time before it is start-up, not training"""
        self._ended: set[str] = set()
        self._dropped: set[str] = set()
        self._running: dict[str, dict[str, Any]] = {}

    def add_cells(self, cells: "Iterable[Cell]") -> None:
        with self._lock:
            for cell in cells:
                arm = str(cell.axes.get(self.compared, ""))
                self._cells[cell.key] = cell.name, arm
                self._scores.setdefault(arm, [])

    def drop_cells(self, keys: Iterable[str]) -> None:
        """Count no longer on the cells that have not ended: they were stopped for good."""
        with self._lock:
            self._dropped.update(keys)
            for key in self._dropped:
                self._running.pop(key, None)

    def count_event(self, event: Event) -> str:
        """Count one event. Return the line that it is worth; empty if none."""
        if event["kind"] == "note":
            return event["text"]
        with self._lock:
            line = ""
            if self.first is None:
                self.first = time.monotonic()
                line = f"first epoch {self.first - self.began:.0f} s after the start"
            key = event["key"]
            if event["kind"] == "row":
                self._count_epoch(key, event["row"])
            elif key not in self._ended:
                state = self._running.pop(key, {})
                if not event.get("stopped") and event["kind"] in ("done", "failed"):
                    self._ended.add(key)
                    line = self._count_end(event, state) or line
            return line

    def _count_epoch(self, key: str, row: dict[str, Any]) -> None:
        if key in self._ended or key in self._dropped:
            return
        score = row.get("val/score", row.get("val/accuracy"))
        before = self._running.get(key, {"since": time.time(), "phase": row["phase"], "best": None})
        best = before["best"] if before["phase"] == row["phase"] else None
        best = score if best is None or (score is not None and score > best) else best
        self._running[key] = {"since": before["since"], "phase": row["phase"], "epoch": row["epoch"] + 1, "score": score, "best": best}

    def _count_end(self, event: Event, state: dict[str, Any]) -> str:
        name, arm = self._cells[event["key"]]
        if event["kind"] == "failed":
            self.failed += 1
            return f"failed: {name}: {event['reason']}"
        self.done += 1
        if state.get("best") is not None:  # the score by which the epoch was selected
            self._scores[arm].append(state["best"])
        return ""

    @property
    def pace_s(self) -> float | None:
        """Seconds per training, of all slots together, since the first epoch; None before a training has ended."""
        return (time.monotonic() - self.first) / len(self._ended) if self._ended and self.first is not None else None

    @property
    def share(self) -> float:
        """The share of the trainings that have ended."""
        return (self.done + self.failed) / max(1, self._count_all())

    def describe(self) -> str:
        """Return the counts, the pace and the time to go as one line."""
        at_most = f" (at most {self.most})" if self.most else ""
        text = f"{self.done}/{self._count_all()} trainings done{at_most}, {self.failed} failed"
        pace, left = self.pace_s, self._count_left()
        if pace is not None:
            text += f", {pace:.2f} s per training" + (f", {format_duration(pace * left)} left" if left else "")
        elif self.first is None:
            text += ", starting the workers"
        return text

    def describe_scores(self) -> str:
        """Return the mean validation score of the trainings that this command has finished, by value of the compared axis."""
        with self._lock:
            return describe_scores(self._average_scores())

    def to_json(self) -> dict[str, Any]:
        with self._lock:
            running = [{"key": key, "name": self._cells[key][0], **state} for key, state in self._running.items()]
            return {
                "total": self._count_all(),
                "done": self.done,
                "failed": self.failed,
                "pace_s": self.pace_s,
                "running": running,
                "scores": self._average_scores(),
            }

    def _count_left(self) -> int:
        return max(0, self._count_all() - self.done - self.failed)

    def _count_all(self) -> int:
        return self.total - len(self._dropped - self._ended)

    def _average_scores(self) -> dict[str, dict[str, Any]]:
        return {arm: {"trainings": len(scores), "mean": sum(scores) / len(scores)} for arm, scores in self._scores.items() if scores}


def describe_scores(scores: dict[str, dict[str, Any]]) -> str:
    """Return mean scores as a line, in percent; empty if there are none."""
    means = ", ".join(f"{arm} {100 * score['mean']:.1f}" for arm, score in scores.items())
    return f"mean validation score: {means}" if means else ""
