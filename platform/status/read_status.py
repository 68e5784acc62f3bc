"""Read what a grid or a search is doing from its run folder. Ray is not asked, so that any machine that sees the folder can tell."""

import time
from dataclasses import dataclass, field
from typing import Any

from platform.launch.driver_record import DEAD_S, Driver, describe_driver, is_alive, is_here, read_driver
from platform.launch.run_progress import PROGRESS, read_progress
from platform.status.cell_states import list_states, read_names
from trainables.registry import BadRequest
from trainables.storage.lock_holder import DRIVER
from trainables.storage.store import RunFolder

ALIVE = ("starting", "running", "finishing")
"""states in which the driver lives; finishing: all trainings have ended, and curves and report are written"""


@dataclass
class RunStatus:
    """The status of one run folder."""

    run: str
    study: str
    scale: str
    state: str
    """one of ALIVE, or complete, failed (all ended, some without a result), stopped, died (its driver was killed), waiting (no command)"""
    driver: str
    """the command that holds or last held the folder"""
    total: int
    done: int
    failed: list[dict[str, Any]]
    """key, name and reason of each failed training"""
    running: list[dict[str, Any]]
    """key, name, phase, epoch (from 1), score (validation, of the last epoch), seconds; those without a finished epoch have only a name"""
    interrupted: list[str]
    """names of trainings that were begun, and that nobody trains now"""
    pace_s: float | None
    """seconds per training of all slots together"""
    left_s: float | None
    """seconds to go at this pace"""
    scores: dict[str, dict[str, Any]]
    """mean validation score of the trainings that the last command finished, by value of the compared axis"""
    seen_s: float | None
    """seconds since the driver last wrote its progress"""
    searches: list[dict[str, Any]] = field(default_factory=list)
    """of a search: by arm and condition, the suggestions to make, started, finished and failed, and the best score"""

    @property
    def alive(self) -> bool:
        return self.state in ALIVE


def read_status(folder: RunFolder) -> RunStatus:
    """Return the status of a run folder. Raises BadRequest if the folder is none."""
    record, driver = read_progress(folder), read_driver(folder)
    if grid := read_names(folder):
        study, scale, names = grid
        total = len(names)
    elif "searches" in record:
        study, scale, names, total = record["study"], record["scale"], {}, record["total"]
    else:
        raise BadRequest(f"{folder.uri}: is no run folder: it has neither grid.json nor a search's {PROGRESS}")
    own = record if record.get("claim") == driver.get("claim") else {}
    """the record of the command that holds or last held the folder"""
    alive = is_driver_alive(driver, own)
    states = list_states(folder)
    if not names:  # a search, which has no grid
        names = {key: _read_name(folder, key) for key, state in states.items() if state != "done"}
    known = {entry["key"]: entry for entry in own.get("running", [])} if alive else {}
    begun = [key for key in names if states.get(key) == "begun"]
    begun_s = folder.get_time(DRIVER)
    active = [key for key in begun if key in known or (alive and folder.get_time("cells", key, "cell.json") >= begun_s > 0)]
    running = [_describe_running(folder, key, names[key], known.get(key)) for key in active]
    failed = [_describe_failure(folder, key, names[key]) for key in names if states.get(key) == "failed"]
    done = sum(states.get(key) == "done" for key in names)
    if "searches" in record:
        done = record["done"]
    left, pace = total - done - len(failed), record.get("pace_s")
    return RunStatus(
        run=folder.uri,
        study=study,
        scale=scale,
        state=_find_state(alive, own, left, len(failed)),
        driver=describe_driver(driver) if driver else "",
        total=total,
        done=done,
        failed=failed,
        running=running,
        interrupted=[names[key] for key in begun if key not in active] if left > 0 else [],  # a search stops some for good
        pace_s=pace,
        left_s=pace * left if pace is not None and left > 0 else None,
        scores=record.get("scores", {}),
        seen_s=max(0.0, time.time() - record["time"]) if record else None,
        searches=record.get("searches", []),
    )


def is_driver_alive(driver: Driver, record: dict[str, Any]) -> bool:
    """Return whether the driver lives. One on another machine lives if it has renewed its lock or its progress within DEAD_S."""
    if not driver:
        return False
    fresh = bool(record) and not record["ended"] and time.time() - record["time"] < DEAD_S
    return is_alive(driver) or (not is_here(driver) and fresh)


def _find_state(alive: bool, record: dict[str, Any], left: int, failed: int) -> str:
    if alive and record:
        return "finishing" if record["ended"] or left <= 0 else "running"
    if alive:
        return "starting" if left > 0 else "finishing"
    if left <= 0:
        return "failed" if failed else "complete"
    if record:
        return "stopped" if record["ended"] else "died"
    return "waiting"


def _describe_running(folder: RunFolder, key: str, name: str, known: dict[str, Any] | None) -> dict[str, Any]:
    """Return what is known of a training that runs: from the driver's record, or from the history of its last checkpoint."""
    if known:
        seconds = max(0.0, time.time() - known["since"])
        return {"key": key, "name": name} | {field: known[field] for field in ("phase", "epoch", "score")} | {"seconds": seconds}
    if rows := folder.get_history(key):
        last = rows[-1]
        score = last.get("val/score", last.get("val/accuracy"))
        return {"key": key, "name": name, "phase": last["phase"], "epoch": last["epoch"] + 1, "score": score}
    return {"key": key, "name": name}


def _read_name(folder: RunFolder, key: str) -> str:
    try:
        return str(folder.get_json("cells", key, "cell.json")["name"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return key


def _describe_failure(folder: RunFolder, key: str, name: str) -> dict[str, Any]:
    error = folder.get_error(key) or {}
    return {"key": key, "name": name, "reason": error.get("reason", "unknown: error.json cannot be read")}
