"""Orders under anything that may happen, in any order of it, end as a small model of theirs says."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from order_environment import OrderEnvironment
from order_machine import OrderMachine
from restarting_order_machine import RestartingOrderMachine
from seeds import name_seed_on_failure, seeds

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
OTHERS = settings(QUICK, derandomize=False, max_examples=4, stateful_step_count=12)
SECONDS = 25.0
"""How long other lives are played in each run of the slow tests; the last ones begun are played to their end."""


async def play(
    order_env: OrderEnvironment, machine: type[OrderMachine], how: settings, number: int | None = None
) -> None:
    """Hypothesis drives from a thread of its own; the workers live on this loop."""
    played = type("Order", (machine,), {"yard": order_env, "loop": asyncio.get_running_loop()})
    if number is not None:
        seed(number)(played)
    await asyncio.to_thread(run_state_machine_as_test, played, settings=how)


@pytest.mark.slow
async def test_orders_end_as_the_model_says(time_skipping_order_env: OrderEnvironment) -> None:
    await play(time_skipping_order_env, OrderMachine, QUICK)


@pytest.mark.slow
async def test_orders_whose_workers_restart_end_as_the_model_says(order_env: OrderEnvironment) -> None:
    await play(order_env, RestartingOrderMachine, QUICK)


@pytest.mark.slow
async def test_other_orders_whose_workers_restart_end_as_the_model_says(
    order_env: OrderEnvironment, pytestconfig: pytest.Config
) -> None:
    for number in seeds(pytestconfig, SECONDS):
        with name_seed_on_failure(number):
            await play(order_env, RestartingOrderMachine, OTHERS, number)
