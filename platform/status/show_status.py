"""Show the status of a run folder as lines, or of several as one line each."""

from collections.abc import Iterator

from platform.launch.event_counts import describe_scores
from platform.status.read_status import RunStatus
from platform.terminal.progress import format_count, format_duration, make_printable

SHOWN = 20
"""trainings that are listed by name; of more, the number is shown"""
TEXTS = {
    "starting": "starting",
    "running": "running",
    "finishing": "trainings have ended; curves and report are being written",
    "complete": "complete",
    "failed": "ended, some trainings failed; the same command tries them again",
    "stopped": "stopped; the same command resumes it",
    "died": "its driver died; the same command resumes it",
    "waiting": "no command is running; the same command resumes it",
}


def format_status(status: RunStatus) -> str:
    """Return the whole status."""
    return "\n".join(make_printable(line) for line in _list_lines(status))


def format_short(status: RunStatus) -> str:
    """Return the status as one line."""
    parts = [f"{status.run}: {status.state}", _count_trainings(status)]
    if status.alive and status.left_s is not None:
        parts.append(f"{format_duration(status.left_s)} left")
    return make_printable(", ".join(parts))


def _count_trainings(status: RunStatus) -> str:
    return f"{status.done:,} of {format_count(status.total, 'training')} done" + (
        f", {len(status.failed):,} failed" if status.failed else ""
    )


def _list_lines(status: RunStatus) -> Iterator[str]:
    yield f"{status.study}, {status.scale} scale: {TEXTS[status.state]}"
    yield f"folder: {status.run}"
    if status.driver:
        yield f"command: {status.driver}" + ("" if status.alive else " (has ended)")
    waiting = status.total - status.done - len(status.failed) - len(status.running) - len(status.interrupted)
    further = [(len(status.running), "running"), (len(status.interrupted), "interrupted"), (waiting, "waiting")]
    yield ", ".join([_count_trainings(status), *(f"{number:,} {word}" for number, word in further if number > 0)])
    if status.pace_s is not None:
        left = f", {format_duration(status.left_s)} left" if status.left_s is not None else ""
        yield f"{status.pace_s:.2f} s per training{left}"
    if scores := describe_scores(status.scores):
        yield scores
    for search in status.searches:
        best = f", best {100 * search['best']:.1f}" if search["best"] is not None else ""
        failed = f", {search['failed']} failed" if search["failed"] else ""
        finished = f"{search['finished']} of {format_count(search['suggestions'], 'suggestion')} finished"
        yield f"search {search['condition']}: {finished}{failed}{best}"
    yield from _list_some("running", [_describe_running(entry) for entry in status.running])
    yield from _list_some("interrupted; they resume from their checkpoints", status.interrupted)
    yield from _list_some("failed", [f"{entry['name']}: {entry['reason']}" for entry in status.failed])


def _describe_running(entry: dict[str, object]) -> str:
    if "epoch" not in entry:
        return f"{entry['name']}: before its first epoch"
    score, seconds = entry.get("score"), entry.get("seconds")
    text = f"{entry['name']}: {entry['phase']}, epoch {entry['epoch']}"
    if isinstance(score, float):
        text += f", validation score {100 * score:.1f}"
    return text + (f", for {format_duration(seconds)}" if isinstance(seconds, float) else "")


def _list_some(title: str, lines: list[str]) -> Iterator[str]:
    if not lines:
        return
    yield f"{title}:"
    yield from (f"  {line}" for line in lines[:SHOWN])
    if len(lines) > SHOWN:
        yield f"  and {len(lines) - SHOWN:,} more (--json lists all)"
