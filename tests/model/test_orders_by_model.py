"""Orders under anything that may happen, in any order of it, end as a small model of theirs says."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from order_machine import OrderMachine
from yard import Yard

QUICK = settings(
    max_examples=6,
    stateful_step_count=8,
    deadline=None,
    derandomize=True,
    database=None,
    # What runs on real workers is too slow to be made smaller; the steps of an example are few.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


async def play(yard: Yard, how: settings) -> None:
    """Hypothesis drives from a thread of its own; the workers live on this loop."""
    machine = type("Order", (OrderMachine,), {"yard": yard, "loop": asyncio.get_running_loop()})
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=how)


@pytest.mark.slow
async def test_orders_end_as_the_model_says(yard: Yard) -> None:
    await play(yard, QUICK)
