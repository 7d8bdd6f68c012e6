"""Two that can tell the same: who is asked when, and what is left when neither tells."""

from __future__ import annotations

import asyncio

import pytest

from orderfleet.services.hedge import hedged

PATIENCE = 1


class Asked:
    """Answers, fails or hangs, and keeps whether it was asked and whether it was let go."""

    def __init__(self, answer=None, *, hangs=False):
        self.answer, self.hangs, self.asked, self.let_go = answer, hangs, False, False

    async def __call__(self):
        self.asked = True
        if self.hangs:
            try:
                await asyncio.Event().wait()
            finally:
                self.let_go = True
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def both(first, second):
    return await hedged(first(), second, good=lambda found: found is not None, patience=PATIENCE)


async def test_a_good_answer_asks_nobody_else():
    second = Asked("record")
    first, also = await both(Asked("workflow"), second)
    assert (first, type(also), second.asked) == ("workflow", TimeoutError, False)


@pytest.mark.parametrize("nothing", [None, ValueError("away")])
async def test_a_failure_or_nothing_asks_the_second_at_once(nothing):
    began = asyncio.get_running_loop().time()
    first, also = await both(Asked(nothing), Asked("record"))
    assert (first, also) == (nothing, "record")
    assert asyncio.get_running_loop().time() - began < PATIENCE


async def test_a_slow_first_is_overtaken_by_the_second_when_patience_ends():
    hangs = Asked(hangs=True)
    first, also = await both(hangs, Asked("record"))
    assert (type(first), also) == (TimeoutError, "record")
    assert hangs.let_go


async def test_a_first_that_is_late_and_good_still_wins():
    late = asyncio.Event()

    async def first():
        await late.wait()
        return "workflow"

    async def second():
        late.set()
        return "record"

    assert (await hedged(first(), second, good=bool, patience=4))[0] == "workflow"


async def test_neither_in_time_is_told_of_both_and_leaves_nothing_running():
    one, other = Asked(hangs=True), Asked(hangs=True)
    assert [type(said) for said in await both(one, other)] == [TimeoutError, TimeoutError]
    assert one.let_go
    assert other.let_go


async def test_who_gives_up_leaves_nothing_running():
    one, other = Asked(hangs=True), Asked(hangs=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(PATIENCE / 2):
            await both(one, other)
    assert one.let_go
