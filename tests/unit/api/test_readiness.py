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


async def test_readiness_after_a_check_passed_once_stays_ready():
    part = Part()
    readiness = Readiness({"Temporal": part})
    assert await readiness.problem() == "Temporal has not answered yet: refused"
    part.there = True
    assert await readiness.problem() is None
    part.there = False
    assert await readiness.problem() is None
    assert part.asked == 2


async def test_readiness_check_that_hangs_times_out():
    async def hangs():
        await asyncio.Event().wait()

    assert "has not answered yet" in str(await Readiness({"the record": hangs}, timeout=0.01).problem())


async def test_readiness_while_draining_is_unready():
    readiness = Readiness({})
    assert await readiness.problem() is None
    readiness.drain()
    assert await readiness.problem() == "draining"
