"""The dispatcher: each cell is handed out and ends exactly once, whatever dies. A dead caller's call stays pending, as in a Ray actor."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.workers.dispatcher import TRIES, Dispatcher

Test = Callable[[Dispatcher], Coroutine[Any, Any, None]]
ROW = {"kind": "row", "row": {"epoch": 0}}
DONE = {"kind": "done"}


def cell(key: str, parent: str | None = None) -> dict[str, Any]:
    return {"key": key, "parent": parent, "axes": {}}


class OneByOne(Dispatcher):
    """A dispatcher for workers that take one cell at a time. They need not name the cell of an event."""

    async def take_cell(self, rank: int, most: int = 1) -> Any:
        return next(iter(await super().take_cell(rank, most)), None)

    async def report_event(self, rank: int, *event: Any) -> bool:
        return await super().report_event(rank, next(iter(self._busy.get(rank, {})), ""), *event)


def run(test: Test, make: Callable[[], Dispatcher] = OneByOne) -> None:
    """Run a test in a new event loop. A dispatcher that never answers is a failure, not a hang."""

    async def whole() -> None:
        async with asyncio.timeout(60):
            await test(make())

    asyncio.run(whole())


async def settle() -> None:
    """Let every other coroutine run as far as it can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def started(call: Awaitable[Any]) -> asyncio.Future[Any]:
    waiting = asyncio.ensure_future(call)
    await settle()
    return waiting


def kinds(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["key"], event["kind"]) for event in events]


def test_cells_are_handed_out_in_order_and_their_events_come_back() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t1", [cell("a"), cell("b")], slot_pid=11)
        await dispatcher.post_trial("t2", [cell("c")], slot_pid=12)
        assert await dispatcher.take_cell(0) == {"trial": "t1", "cell": cell("a"), "slot_pid": 11, "deaths": 0}
        assert await dispatcher.take_cell(1) == {"trial": "t1", "cell": cell("b"), "slot_pid": 11, "deaths": 0}
        assert await dispatcher.report_event(1, DONE)
        assert await dispatcher.take_cell(1) == {"trial": "t2", "cell": cell("c"), "slot_pid": 12, "deaths": 0}
        assert await dispatcher.report_event(0, ROW) and await dispatcher.report_event(0, {"kind": "failed", "reason": "diverged"})
        assert kinds(await dispatcher.poll_events("t1", slot_pid=11)) == [("b", "done"), ("a", "row"), ("a", "failed")]
        assert await dispatcher.report_event(1, DONE)
        assert await dispatcher.poll_events("t2", slot_pid=12) == [{"key": "c", "kind": "done"}]

    run(test)


def test_quick_epochs_come_as_one_list() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a")])
        waiting = await started(dispatcher.poll_events("t", pause=30))
        await dispatcher.take_cell(0)
        for _ in range(5):
            await dispatcher.report_event(0, ROW)
            await settle()
        assert not waiting.done()
        await dispatcher.report_event(0, DONE)  # an end event is returned without the pause
        assert kinds(await waiting) == [("a", "row")] * 5 + [("a", "done")]

    run(test)


def test_a_waiting_worker_gets_the_next_cell() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        waiting = [await started(dispatcher.take_cell(rank)) for rank in range(3)]
        await dispatcher.post_trial("t", [cell("a"), cell("b")])
        await settle()
        assert sum(call.done() for call in waiting) == 2
        await dispatcher.close()
        assert sorted(str(job and job["cell"]["key"]) for job in await asyncio.gather(*waiting)) == ["None", "a", "b"]
        assert await dispatcher.take_cell(4) is None

    run(test)


@pytest.mark.parametrize("obituary", [True, False])
def test_a_dead_workers_cell_goes_to_the_head(obituary: bool) -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a"), cell("b"), cell("c")])
        for deaths in range(TRIES):
            job = await dispatcher.take_cell(0)
            assert job and (job["cell"]["key"], job["deaths"]) == ("a", deaths)
            if obituary:
                await dispatcher.report_deaths({0: "signal 9"})
        if obituary:
            assert not await dispatcher.report_event(0, ROW), "a dead worker's word counts no more"
        job = await dispatcher.take_cell(0)
        assert job and (job["cell"]["key"], job["deaths"]) == ("b", 0)
        (event,) = await dispatcher.poll_events("t", pause=0)
        assert event["kind"] == "failed" and event["key"] == "a" and event["killed"]
        assert event["reason"] == f"its worker died {TRIES} times; the last time: {'signal 9' if obituary else 'its worker died'}"

    run(test)


def test_a_slot_hears_at_once_of_a_cell_that_failed_for_good() -> None:
    """The cell's last worker died without a death report. The new worker of its rank reveals the death by taking a cell."""

    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a")])
        waiting = await started(dispatcher.poll_events("t"))
        for _ in range(TRIES):
            assert await dispatcher.take_cell(0)
        replaced = await started(dispatcher.take_cell(0))
        assert kinds(await waiting) == [("a", "failed")] and not replaced.done()

    run(test)


def test_obituaries_of_idle_workers_change_nothing() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a")])
        await dispatcher.report_deaths({0: "x", 7: "y"})
        job = await dispatcher.take_cell(0)
        assert job and job["deaths"] == 0

    run(test)


@pytest.mark.parametrize("obituary", [True, False])
def test_a_worker_that_died_while_it_waited_gets_no_cell(obituary: bool) -> None:
    """Its call is still pending in the dispatcher. A cell given to it would be lost when its successor takes another."""

    async def test(dispatcher: Dispatcher) -> None:
        dead = await started(dispatcher.take_cell(0))
        if obituary:
            await dispatcher.report_deaths({0: "signal 9"})
        alive = await started(dispatcher.take_cell(0))
        await dispatcher.post_trial("t", [cell("a"), cell("b")])
        await settle()
        assert alive.done() and (not dead.done() or dead.result() is None)
        assert alive.result()["cell"]["key"] == "a" and alive.result()["deaths"] == 0
        await dispatcher.report_event(0, DONE)
        job = await dispatcher.take_cell(0)
        assert job and job["cell"]["key"] == "b"

    run(test)


@pytest.mark.parametrize("waited", [True, False])
def test_a_slot_that_died_posts_again_and_nothing_runs_twice(waited: bool) -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a"), cell("b"), cell("c")])
        await dispatcher.take_cell(0)
        await dispatcher.report_event(0, DONE)
        await dispatcher.poll_events("t", pause=0)  # received by the slot that then dies
        await dispatcher.take_cell(0)
        if waited:
            await started(dispatcher.poll_events("t"))  # the slot died while it waited; this call is still pending
        await dispatcher.post_trial("t", [cell("a"), cell("b"), cell("c")])
        assert kinds(await dispatcher.poll_events("t", pause=0)) == [("a", "done")]
        waiting = await started(dispatcher.poll_events("t"))
        await dispatcher.report_event(0, DONE)
        job = await dispatcher.take_cell(0)
        assert job and job["cell"]["key"] == "c"
        await dispatcher.report_event(0, DONE)
        assert kinds(await waiting) == [("b", "done"), ("c", "done")]
        assert not (await started(dispatcher.take_cell(0))).done()

    run(test)


def test_leaving_drops_what_waits_and_stops_what_runs() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a"), cell("b")])
        await dispatcher.post_trial("u", [cell("c")])
        await dispatcher.take_cell(0)
        assert await dispatcher.report_event(0, ROW)
        await dispatcher.leave_trial("t")
        assert not await dispatcher.report_event(0, ROW)
        assert not await dispatcher.report_event(0, {"kind": "failed", "stopped": True, "reason": "stopped"})
        job = await dispatcher.take_cell(0)
        assert job and job["cell"]["key"] == "c"
        await dispatcher.leave_trial("never posted")

    run(test)


@pytest.mark.parametrize("first", ["stays", "leaves"])
def test_a_slot_that_leaves_takes_no_trial_from_another(first: str) -> None:
    """Tune starts a slot for a trial, gives the trial to a free slot, and ends the first. Both have posted it, in either order."""

    async def test(dispatcher: Dispatcher) -> None:
        stays, leaves = (1, 2) if first == "stays" else (2, 1)
        await dispatcher.post_trial("t", [cell("a"), cell("b")], slot_pid=1)
        waiting = await started(dispatcher.poll_events("t", 0, stays)) if stays == 1 else None
        await dispatcher.post_trial("t", [cell("a"), cell("b")], slot_pid=2)
        await dispatcher.leave_trial("t", leaves)
        waiting = waiting or await started(dispatcher.poll_events("t", 0, stays))
        await dispatcher.take_cell(0)
        assert await dispatcher.report_event(0, DONE)
        assert kinds(await waiting) == [("a", "done")]
        await dispatcher.take_cell(0)
        await dispatcher.report_event(0, DONE)
        assert kinds(await dispatcher.poll_events("t", 0, stays)) == [("b", "done")]
        await dispatcher.leave_trial("t", stays)

    run(test)


def test_a_cell_nobody_waits_for_is_not_tried_again() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a")])
        await dispatcher.take_cell(0)
        await dispatcher.leave_trial("t")
        await dispatcher.report_deaths({0: "signal 9"})
        assert not (await started(dispatcher.take_cell(0))).done()

    run(test)


def test_one_worker_chooses_and_the_others_wait_for_it() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        assert await dispatcher.get_choice(0, "gpu") is None and await dispatcher.get_choice(1, "cpu") is None
        waiting = await started(dispatcher.get_choice(2, "gpu"))
        await dispatcher.set_choice("cpu", {"fast": True})
        await settle()
        assert not waiting.done() and await dispatcher.get_choice(3, "cpu") == {"fast": True}
        await dispatcher.report_deaths({0: "signal 9"})  # it died while it measured
        assert await waiting is None, "it is the other's to choose now"
        await dispatcher.set_choice("gpu", {"fast": False})
        await dispatcher.report_deaths({2: "signal 9"})
        assert await dispatcher.get_choice(0, "gpu") == {"fast": False}, "a choice outlives who made it"

    run(test, Dispatcher)


def test_halt_waits_until_every_worker_has_let_go() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a"), cell("b"), cell("c")])
        await dispatcher.take_cell(0)
        await dispatcher.take_cell(1)
        notice = await started(dispatcher.wait_for_halt())
        idle = await started(dispatcher.take_cell(2))
        assert idle.result()["cell"]["key"] == "c"
        halt = await started(dispatcher.halt_workers())
        assert await notice and not halt.done()
        assert not await dispatcher.report_event(0, ROW), "go on? no"
        await dispatcher.report_event(0, {"kind": "failed", "stopped": True})
        await dispatcher.report_deaths({1: "signal 9"})
        await settle()
        assert not halt.done()
        await dispatcher.report_event(2, DONE)
        assert await halt
        assert await dispatcher.take_cell(0) is None

    run(test)


def test_closing_answers_a_slot_that_waits() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a")])
        waiting = await started(dispatcher.poll_events("t", pause=0))
        await dispatcher.close()
        assert await waiting == []

    run(test)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 14), st.integers(0, 2**32), st.floats(0, 0.3), st.floats(0, 0.3))
def test_any_schedule_ends_every_cell_once(
    slots: int, workers: int, number: int, seed: int, mortality: float, slot_mortality: float
) -> None:
    """Workers die while they wait, and while they train with or without a death report. Slots die while they wait, and post again."""
    chance = random.Random(seed)
    cells = [cell(f"c{i}", f"c{chance.randrange(i)}" if i and chance.random() < 0.3 else None) for i in range(number)]
    chance.shuffle(cells)
    trials = {f"t{i}": cells[i::slots] for i in range(slots)}
    ended: Counter[str] = Counter()
    deaths: Counter[str] = Counter()
    heard: dict[str, str] = {}
    over = asyncio.Event()

    async def idle() -> None:
        for _ in range(1 + chance.randrange(3)):
            await asyncio.sleep(0)

    async def worker(dispatcher: Dispatcher, rank: int) -> None:
        while not over.is_set():
            take = asyncio.ensure_future(dispatcher.take_cell(rank))
            await idle()
            if not take.done() and chance.random() < mortality:
                await dispatcher.report_deaths({rank: "killed while it waited"})
                continue
            if (job := await take) is None:
                assert over.is_set()
                return
            key = job["cell"]["key"]
            assert job["deaths"] == deaths[key] and not ended[key]
            assert job["cell"]["parent"] not in {cell["key"] for cell in cells if not ended[cell["key"]]}
            for _ in range(chance.randrange(3)):
                await idle()
                assert await dispatcher.report_event(rank, ROW)
            if chance.random() < mortality:
                deaths[key] += 1
                ended[key] += deaths[key] == TRIES
                if chance.random() < 0.5:
                    await dispatcher.report_deaths({rank: "killed"})
                continue
            ended[key] += 1
            assert await dispatcher.report_event(rank, {"kind": chance.choice(["done", "failed"])})

    async def slot(dispatcher: Dispatcher, trial: str) -> None:
        left = {cell["key"] for cell in trials[trial]}
        await dispatcher.post_trial(trial, trials[trial])
        while left:
            events = asyncio.ensure_future(dispatcher.poll_events(trial, pause=0))
            await idle()
            if not events.done() and chance.random() < slot_mortality:
                left = {cell["key"] for cell in trials[trial]}
                await dispatcher.post_trial(trial, trials[trial])
                continue
            for event in await events:
                if event["kind"] != "row":
                    heard[event["key"]] = event["kind"]
                    left.discard(event["key"])
        await dispatcher.leave_trial(trial)

    async def test(dispatcher: Dispatcher) -> None:
        async with asyncio.TaskGroup() as group:
            for rank in range(workers):
                group.create_task(worker(dispatcher, rank))
            await asyncio.gather(*(slot(dispatcher, trial) for trial in trials if trials[trial]))
            over.set()
            await dispatcher.close()

    run(test)
    assert ended == dict.fromkeys((cell["key"] for cell in cells), 1)
    assert heard.keys() == ended.keys()
    assert all(heard[key] == "failed" for key in deaths if deaths[key] == TRIES)
