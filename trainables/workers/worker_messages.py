"""The messages between dispatcher and workers: jobs go to the workers, events come back."""

from typing import Any, Literal, NotRequired, TypedDict


class Job(TypedDict):
    """A cell that a worker has to train."""

    trial: str
    cell: dict[str, Any]
    slot_pid: int
    deaths: int
    """number of workers that died while they trained the cell"""
    shard: NotRequired[tuple[int, int, str]]
    """index, size and name of the group, if several workers train the cell together"""


class EventBase(TypedDict):
    key: NotRequired[str]
    """of the cell; the dispatcher adds it"""
    time: NotRequired[float]


class RowEvent(EventBase):
    """An epoch has ended."""

    kind: Literal["row"]
    row: dict[str, Any]
    pid: int


class NoteEvent(EventBase):
    """A line for the user."""

    kind: Literal["note"]
    text: str


class DoneEvent(EventBase):
    """The cell has a result."""

    kind: Literal["done"]


class FailedEvent(EventBase):
    """The cell has no result."""

    kind: Literal["failed"]
    reason: str
    stopped: NotRequired[bool]
    """it did not fail by itself, and the same command resumes it"""
    fatal: NotRequired[bool]
    """the whole grid has to end"""
    killed: NotRequired[bool]
    """its worker died, so nobody else has written the error down"""
    axes: NotRequired[dict[str, Any]]


class LeftEvent(EventBase):
    """A worker that helped to train the cell has ended its part."""

    kind: Literal["left"]


class PartedEvent(EventBase):
    """The workers that train the cell together have lost one of them."""

    kind: Literal["parted"]
    reason: str


Event = RowEvent | NoteEvent | DoneEvent | FailedEvent | LeftEvent | PartedEvent
ENDS = ("done", "failed")
"""kinds of events that end a cell"""
