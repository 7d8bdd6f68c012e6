"""A budget of time, and the waits that come out of it."""

from __future__ import annotations

import asyncio
import time

import pytest

from orderfleet.services.deadline import Deadline, deadline_scope, remaining
from orderfleet.services.errors import TemporalUnavailable, in_time

LONG = 3600.0


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(time, "monotonic", lambda: Clock.now)
    return Clock


def test_without_a_budget_a_wait_is_as_long_as_it_says():
    assert remaining(7, part=0.5, reserve=3) == 7


def test_waits_one_after_the_other_share_a_budget(clock):
    with deadline_scope(Deadline(2.0)):
        assert (remaining(1.5), remaining(5)) == (1.5, 2.0)
        clock.now += 1.2
        assert remaining(1.5) == pytest.approx(0.8)
        clock.now += 5
        assert remaining(1.5) == 0
    assert remaining(1.5) == 1.5


def test_a_wait_may_have_to_leave_something_for_what_comes_after(clock):
    with deadline_scope(Deadline(2.0)):
        assert remaining(LONG, part=0.5) == 1.0
        assert remaining(LONG, reserve=0.4) == pytest.approx(1.6)
        clock.now += 1.8
        assert remaining(LONG, reserve=0.4) == 0


def test_a_budget_may_begin_again(clock):
    budget = Deadline(2.0)
    clock.now += 9
    assert budget.left() == 0
    budget.begin()
    assert budget.left() == 2.0


async def test_a_spent_budget_ends_a_wait_at_once():
    with deadline_scope(Deadline(0)), pytest.raises(TemporalUnavailable, match="did not answer for order 'o'"):
        async with in_time("o", LONG):
            await asyncio.Event().wait()


async def test_tasks_begun_inside_spend_the_same_budget():
    async def asked() -> float:
        return remaining(LONG)

    with deadline_scope(Deadline(0)):
        task = asyncio.create_task(asked())
    assert await task == 0
