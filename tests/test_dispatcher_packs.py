"""The dispatcher: children wait for their parents, one worker takes several cells of a trial, and the cost of a call."""

import asyncio
from typing import Any

from tests.test_dispatcher import DONE, ROW, cell, run, settle, started
from trainables.workers.dispatcher import TRIES, Dispatcher


def test_children_wait_for_their_parents() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("child", "parent"), cell("orphan", "done before"), cell("parent")])
        first, second = await dispatcher.take_cell(0), await dispatcher.take_cell(1)
        assert first and second and [first["cell"]["key"], second["cell"]["key"]] == ["orphan", "parent"]
        waiting = await started(dispatcher.take_cell(2))
        await dispatcher.report_deaths({1: "signal 9"})
        await dispatcher.take_cell(1)  # the parent again
        await settle()
        assert not waiting.done()
        await dispatcher.report_event(1, {"kind": "failed", "reason": "diverged"})  # the child's worker reports the missing parent
        assert (await waiting)["cell"]["key"] == "child"

    run(test)


def test_a_child_whose_parent_was_dropped_is_not_kept_waiting() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("other"), cell("parent")])
        await dispatcher.take_cell(0)
        await dispatcher.post_trial("u", [cell("middle", "parent"), cell("child", "other")])
        waiting = await started(dispatcher.take_cell(1))
        job = waiting.result()
        assert job["cell"]["key"] == "parent"
        waiting = await started(dispatcher.take_cell(2))
        await dispatcher.leave_trial("t")
        await dispatcher.report_deaths({1: "signal 9"})
        assert (await waiting)["cell"]["key"] == "middle"

    run(test)


def keys(jobs: list[dict[str, Any]]) -> list[str]:
    return [job["cell"]["key"] for job in jobs]


def test_a_worker_takes_several_cells_of_one_trial() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a"), cell("b", "a"), cell("c"), cell("d"), cell("e")])
        await dispatcher.post_trial("u", [cell("f")])
        assert keys(await dispatcher.take_cell(0, 3)) == ["a", "c", "d"], "b waits for a"
        assert keys(await dispatcher.take_cell(1, 3)) == ["e"], "of one trial at a time"
        assert keys(await dispatcher.take_cell(2, 3)) == ["f"]
        assert await dispatcher.report_event(0, "c", ROW) and await dispatcher.report_event(0, "a", DONE)
        assert not await dispatcher.report_event(0, "a", ROW) and not await dispatcher.report_event(1, "c", ROW), "not theirs, or no more"
        assert keys(await dispatcher.take_cell(3, 3)) == ["b"] and await dispatcher.report_event(0, "d", DONE)
        halt = await started(dispatcher.halt_workers())
        assert not halt.done() and not await dispatcher.report_event(0, "c", ROW)

    run(test, Dispatcher)


def test_a_trial_may_have_several_packs() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell(key) for key in "abcde"], 0, [2, 3])
        assert keys(await dispatcher.take_cell(0, 3)) == ["a", "b"], "c is of another pack"
        assert keys(await dispatcher.take_cell(1, 2)) == ["c", "d"]
        assert keys(await dispatcher.take_cell(2, 2)) == ["e"]

    run(test, Dispatcher)


def test_no_cell_is_to_blame_for_a_lost_machine() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a")])
        for _ in range(TRIES + 1):
            job = await dispatcher.take_cell(0)
            assert job and job["deaths"] == 0
            await dispatcher.report_deaths({0: "its machine died"}, lost=True)
            await dispatcher.report_deaths({0: "its machine died"}, lost=True)  # it is reported twice

    run(test)


def test_what_a_call_costs_does_not_grow_with_the_cells() -> None:
    """The cost is counted in accesses to jobs, not in seconds."""

    async def looks(cells: int) -> int:
        dispatcher, seen = Dispatcher([str(number) for number in range(cells)]), 0

        class Watched(dict[str, Any]):
            def __getitem__(self, name: str) -> Any:
                nonlocal seen
                seen += 1
                return super().__getitem__(name)

        for number in range(200):
            await dispatcher.post_trial(f"t{number}", [Watched(cell(str(number)))])
            await dispatcher.take_cell(0)
            await dispatcher.report_event(0, str(number), DONE)
            await dispatcher.poll_events(f"t{number}", pause=0)
            await dispatcher.leave_trial(f"t{number}")
        return seen

    assert asyncio.run(looks(100_000)) == asyncio.run(looks(200))


def test_cells_whose_worker_died_come_alone() -> None:
    """One of the cells may have killed the worker. The others must not die with it again."""

    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell(key) for key in "abcd"])
        assert keys(await dispatcher.take_cell(0, 3)) == ["a", "b", "c"] and await dispatcher.report_event(0, "a", DONE)
        await dispatcher.report_deaths({0: "signal 9"})
        assert [keys(await dispatcher.take_cell(rank, 3)) for rank in range(3)] == [["b"], ["c"], ["d"]]

    run(test, Dispatcher)
