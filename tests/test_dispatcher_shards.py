"""Tests of cells that several workers train together.

The workers are of one machine and start together, and each cell ends once, whichever worker dies meanwhile.
"""

import asyncio
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_dispatcher import DONE, run, settle, started
from trainables.workers.dispatcher import TRIES, Dispatcher


def cell(key: str, devices: int) -> dict[str, Any]:
    return {"key": key, "parent": None, "axes": {}, "method_settings": {"devices": devices}}


def test_two_free_workers_of_a_machine_meet() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a", 2), cell("b", 1)], sizes=[1, 1])
        first = await started(dispatcher.take_cell(0, 4, machine=0, size=2))
        assert not first.done(), "it has nobody to train it with"
        other = await started(dispatcher.take_cell(2, 4, machine=2, size=1))
        assert other.result()[0]["cell"]["key"] == "b", "a machine of one slot does what it can"
        (helper,), (leader,) = await dispatcher.take_cell(1, 4, machine=0, size=2), await first
        assert leader["cell"] == helper["cell"] and leader["shard"][:2] == (0, 2) and helper["shard"] == (1, 2, leader["shard"][2])
        assert await dispatcher.report_event(1, "a", {"kind": "left"}) and await dispatcher.report_event(0, "a", DONE)
        assert [event["kind"] for event in await dispatcher.poll_events("t")] == ["done"]

    run(test, Dispatcher)


def test_who_waits_for_others_is_not_waited_for_at_the_end() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a", 2)])
        waiting = await started(dispatcher.take_cell(0, machine=0, size=2))
        assert await dispatcher.halt_workers() and await waiting == []

    run(test, Dispatcher)


def test_a_worker_that_dies_waiting_costs_no_try() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a", 2)])
        for _ in range(TRIES + 1):
            waiting = await started(dispatcher.take_cell(0, machine=0, size=2))
            await dispatcher.report_deaths({0: "killed"})
            await settle()
            assert await waiting == []
        waiting = await started(dispatcher.take_cell(0, machine=0, size=2))
        (helper,) = await dispatcher.take_cell(1, machine=0, size=2)
        assert helper["deaths"] == 0 and (await waiting)[0]["shard"][0] == 0

    run(test, Dispatcher)


def test_one_that_dies_takes_the_cell_from_the_other_and_counts_once() -> None:
    async def test(dispatcher: Dispatcher) -> None:
        await dispatcher.post_trial("t", [cell("a", 2)])
        waiting = await started(dispatcher.take_cell(0, machine=0, size=2))
        names = {(await dispatcher.take_cell(1, machine=0, size=2))[0]["shard"][2]}
        await waiting
        for deaths in range(1, TRIES):
            await dispatcher.report_deaths({1: "killed"})
            assert not await dispatcher.report_event(0, "a", {"kind": "parted", "reason": "the other has gone"})
            waiting = await started(dispatcher.take_cell(0, machine=0, size=2))
            (helper,) = await dispatcher.take_cell(1, machine=0, size=2)
            await waiting
            assert helper["deaths"] == deaths
            names.add(helper["shard"][2])
        assert len(names) == TRIES, "who meets anew must not meet those of before"
        assert await dispatcher.report_event(0, "a", {"kind": "parted", "reason": "nobody knows why"})  # before the death is noticed
        await dispatcher.report_deaths({1: "killed"})
        (event,) = await dispatcher.poll_events("t")
        assert event["kind"] == "failed" and "nobody knows why" in event["reason"]

    run(test, Dispatcher)


@settings(max_examples=60)
@given(
    devices=st.lists(st.integers(1, 3), min_size=1, max_size=12),
    deadly=st.lists(st.floats(0, 0.4), min_size=1, max_size=1),
    seed=st.integers(0, 2**32),
)
def test_every_cell_ends_once_whoever_dies(devices: list[int], deadly: list[float], seed: int) -> None:
    """One machine has three workers, one has two. At each step a worker may die, and with it the training that it was part of."""
    chance = random.Random(seed)
    machines = {0: [0, 1, 2], 3: [3, 4]}

    async def test(dispatcher: Dispatcher) -> None:
        training: dict[str, dict[int, str]] = {}
        """by cell and shard: the name of the group that trains it"""

        async def worker(rank: int, machine: int) -> None:
            while jobs := await dispatcher.take_cell(rank, 2, machine=machine, size=len(machines[machine])):
                for job in jobs:
                    key, needed = job["cell"]["key"], job["cell"]["method_settings"]["devices"]
                    index, size, name = job.get("shard", (0, 1, f"{rank}"))
                    assert size == needed
                    group = training.setdefault(key, {})
                    group[index] = name
                    while len(group) < size and group.get(index) == name:
                        await asyncio.sleep(0)
                    for _ in range(chance.randrange(4)):
                        await asyncio.sleep(0)
                    if chance.random() < deadly[0] and job["deaths"] < TRIES - 1:
                        if training.get(key) is group:  # otherwise other workers have restarted the cell
                            del training[key]
                        await dispatcher.report_deaths({rank: "killed"})
                        break
                    if training.get(key, {}).get(index) != name:  # another worker of the group has died
                        await dispatcher.report_event(rank, key, {"kind": "parted", "reason": "gone"})
                        break
                    assert set(group.values()) == {name}, "two meetings train one cell"
                    await dispatcher.report_event(rank, key, DONE if index == 0 else {"kind": "left"})

        await dispatcher.post_trial("t", [cell(f"c{number}", count) for number, count in enumerate(devices)], sizes=[1] * len(devices))
        running = [asyncio.ensure_future(worker(rank, machine)) for machine, ranks in machines.items() for rank in ranks]
        ended: list[str] = []
        while len(ended) < len(devices):
            ended += [event["key"] for event in await dispatcher.poll_events("t", 0.001) if event["kind"] in ("done", "failed")]
        await dispatcher.close()
        await asyncio.gather(*running)
        assert sorted(ended) == sorted(f"c{number}" for number in range(len(devices)))

    run(test, Dispatcher)
