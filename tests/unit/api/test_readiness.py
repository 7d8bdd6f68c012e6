from __future__ import annotations

import asyncio

from orderfleet.api.dependencies import Readiness


class Dependency:
    def __init__(self):
        self.available = False
        self.calls = 0

    async def __call__(self):
        self.calls += 1
        if not self.available:
            raise ConnectionError("refused")


async def test_readiness_after_a_check_passed_once_stays_ready():
    dependency = Dependency()
    readiness = Readiness({"Temporal": dependency})
    assert await readiness.problem() == "Temporal has not answered yet: refused"
    dependency.available = True
    assert await readiness.problem() is None
    dependency.available = False
    assert await readiness.problem() is None
    assert dependency.calls == 2


async def test_readiness_check_that_hangs_times_out():
    async def hangs():
        await asyncio.Event().wait()

    assert "has not answered yet" in str(await Readiness({"the order store": hangs}, timeout=0.01).problem())


async def test_readiness_while_draining_is_unready():
    readiness = Readiness({})
    assert await readiness.problem() is None
    readiness.drain()
    assert await readiness.problem() == "draining"
