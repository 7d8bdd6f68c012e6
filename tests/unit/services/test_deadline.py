"""Deadline scopes and the timeouts that they shorten."""

from __future__ import annotations

import asyncio
import time

import pytest

from orderfleet.services.deadline import Deadline, deadline_scope, remaining
from orderfleet.services.errors import TemporalUnavailable, temporal_timeout

LONG = 3600.0


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(time, "monotonic", lambda: Clock.now)
    return Clock


def test_remaining_outside_of_a_scope_is_the_whole_timeout():
    assert remaining(7, part=0.5, reserve=3) == 7


def test_remaining_in_sequential_waits_shares_the_deadline(clock):
    with deadline_scope(Deadline(2.0)):
        assert (remaining(1.5), remaining(5)) == (1.5, 2.0)
        clock.now += 1.2
        assert remaining(1.5) == pytest.approx(0.8)
        clock.now += 5
        assert remaining(1.5) == 0
    assert remaining(1.5) == 1.5


def test_remaining_with_part_or_reserve_leaves_time_for_later_calls(clock):
    with deadline_scope(Deadline(2.0)):
        assert remaining(LONG, part=0.5) == 1.0
        assert remaining(LONG, reserve=0.4) == pytest.approx(1.6)
        clock.now += 1.8
        assert remaining(LONG, reserve=0.4) == 0


def test_deadline_restarted_has_its_full_length(clock):
    deadline = Deadline(2.0)
    clock.now += 9
    assert deadline.left() == 0
    deadline.restart()
    assert deadline.left() == 2.0


async def test_temporal_timeout_after_the_deadline_ends_the_wait_at_once():
    with deadline_scope(Deadline(0)), pytest.raises(TemporalUnavailable, match="did not answer for order 'o'"):
        async with temporal_timeout("o", LONG):
            await asyncio.Event().wait()


async def test_task_started_inside_a_scope_has_its_deadline():
    async def timeout() -> float:
        return remaining(LONG)

    with deadline_scope(Deadline(0)):
        task = asyncio.create_task(timeout())
    assert await task == 0
