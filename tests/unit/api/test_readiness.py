from __future__ import annotations

import asyncio

from orderfleet.api.dependencies import Readiness


class Part:
    def __init__(self):
        self.there = False
        self.asked = 0

    async def __call__(self):
        self.asked += 1
        if not self.there:
            raise ConnectionError("refused")


async def test_ready_once_each_part_has_answered_and_stays_so():
    part = Part()
    readiness = Readiness({"Temporal": part})
    assert await readiness.problem() == "Temporal has not answered yet: refused"
    part.there = True
    assert await readiness.problem() is None
    part.there = False
    assert await readiness.problem() is None
    assert part.asked == 2


async def test_part_that_hangs_is_not_waited_for():
    async def hangs():
        await asyncio.Event().wait()

    assert "has not answered yet" in str(await Readiness({"the record": hangs}, timeout=0.01).problem())


async def test_draining_is_not_ready():
    readiness = Readiness({})
    assert await readiness.problem() is None
    readiness.drain()
    assert await readiness.problem() == "draining"
