"""Hedged requests: when the second source is queried, and what remains when neither answers."""

from __future__ import annotations

import asyncio

import pytest

from orderfleet.services.deadline import hedged

TIMEOUT = 1


class Query:
    """Returns, fails or hangs, and records whether it was started and whether it was canceled."""

    def __init__(self, result=None, *, hangs=False):
        self.result, self.hangs, self.started, self.canceled = result, hangs, False, False

    async def __call__(self):
        self.started = True
        if self.hangs:
            try:
                await asyncio.Event().wait()
            finally:
                self.canceled = True
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


async def both(first, second):
    return await hedged(first(), second, accept=lambda found: found is not None, seconds=TIMEOUT)


async def test_hedged_with_an_accepted_first_does_not_start_the_second():
    second = Query("record")
    first, other = await both(Query("workflow"), second)
    assert (first, type(other), second.started) == ("workflow", TimeoutError, False)


@pytest.mark.parametrize("nothing", [None, ValueError("unavailable")])
async def test_hedged_with_a_first_that_fails_or_finds_nothing_starts_the_second_at_once(nothing):
    started = asyncio.get_running_loop().time()
    first, other = await both(Query(nothing), Query("record"))
    assert (first, other) == (nothing, "record")
    assert asyncio.get_running_loop().time() - started < TIMEOUT


async def test_hedged_with_a_first_that_hangs_returns_the_second_at_the_timeout():
    hangs = Query(hangs=True)
    first, other = await both(hangs, Query("record"))
    assert (type(first), other) == (TimeoutError, "record")
    assert hangs.canceled


async def test_hedged_with_a_slow_and_accepted_first_prefers_it():
    release = asyncio.Event()

    async def first():
        await release.wait()
        return "workflow"

    async def second():
        release.set()
        return "record"

    assert (await hedged(first(), second, accept=bool, seconds=4))[0] == "workflow"


async def test_hedged_with_two_that_hang_returns_two_timeouts_and_leaves_no_query_running():
    one, other = Query(hangs=True), Query(hangs=True)
    assert [type(result) for result in await both(one, other)] == [TimeoutError, TimeoutError]
    assert one.canceled
    assert other.canceled


async def test_hedged_when_canceled_leaves_no_query_running():
    one, other = Query(hangs=True), Query(hangs=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(TIMEOUT / 2):
            await both(one, other)
    assert one.canceled
    assert other.canceled
