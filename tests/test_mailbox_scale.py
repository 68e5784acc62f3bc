"""The mailbox of a large grid on several machines."""

import asyncio
from typing import Any

from tests.test_mailbox import DONE, cell, keys, run
from trainables.mailbox import TRIES, Mailbox


def test_a_trial_may_have_several_packs() -> None:
    async def test(mailbox: Mailbox) -> None:
        await mailbox.post("t", [cell(key) for key in "abcde"], 0, [2, 3])
        assert keys(await mailbox.take(0, 3)) == ["a", "b"], "c is of another pack"
        assert keys(await mailbox.take(1, 2)) == ["c", "d"]
        assert keys(await mailbox.take(2, 2)) == ["e"]

    run(test, Mailbox)


def test_no_cell_is_to_blame_for_a_lost_machine() -> None:
    async def test(mailbox: Mailbox) -> None:
        await mailbox.post("t", [cell("a")])
        for _ in range(TRIES + 1):
            job = await mailbox.take(0)
            assert job and job["deaths"] == 0
            await mailbox.died({0: "its machine died"}, lost=True)
            await mailbox.died({0: "its machine died"}, lost=True)  # two tell of it

    run(test)


def test_what_a_call_costs_does_not_grow_with_the_cells() -> None:
    """Counted in looks at jobs, not in seconds."""

    async def looks(cells: int) -> int:
        mailbox, seen = Mailbox([str(number) for number in range(cells)]), 0

        class Watched(dict[str, Any]):
            def __getitem__(self, name: str) -> Any:
                nonlocal seen
                seen += 1
                return super().__getitem__(name)

        for number in range(200):
            await mailbox.post(f"t{number}", [Watched(cell(str(number)))])
            await mailbox.take(0)
            await mailbox.report(0, str(number), DONE)
            await mailbox.events(f"t{number}", pause=0)
            await mailbox.leave(f"t{number}")
        return seen

    assert asyncio.run(looks(100_000)) == asyncio.run(looks(200))
