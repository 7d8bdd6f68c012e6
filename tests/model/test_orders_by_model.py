"""Orders under random events end as a small model says."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from model.order_environment import OrderEnvironment
from model.order_machine import OrderMachine
from model.restarting_order_machine import RestartingOrderMachine
from model.seeds import name_seed_on_failure, seeds

QUICK = settings(
    max_examples=6,
    stateful_step_count=8,
    deadline=None,
    derandomize=True,
    database=None,
    # No shrinking, which is too slow on real workers; examples have few steps.
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
RANDOM = settings(QUICK, derandomize=False, max_examples=4, stateful_step_count=12)
SECONDS = 25.0
"""How long random examples run in the slow tests; the last one runs to its end."""


async def play(
    order_env: OrderEnvironment, machine: type[OrderMachine], how: settings, number: int | None = None
) -> None:
    """Hypothesis runs in a thread of its own; the workers run in this event loop."""
    machine_type = type("Order", (machine,), {"order_env": order_env, "loop": asyncio.get_running_loop()})
    if number is not None:
        seed(number)(machine_type)
    await asyncio.to_thread(run_state_machine_as_test, machine_type, settings=how)


@pytest.mark.slow
async def test_orders_with_fixed_events_end_as_the_model_says(time_skipping_order_env: OrderEnvironment) -> None:
    await play(time_skipping_order_env, OrderMachine, QUICK)


@pytest.mark.slow
async def test_orders_with_restarting_workers_end_as_the_model_says(order_env: OrderEnvironment) -> None:
    await play(order_env, RestartingOrderMachine, QUICK)


@pytest.mark.slow
async def test_orders_with_random_restarts_end_as_the_model_says(
    order_env: OrderEnvironment, pytestconfig: pytest.Config
) -> None:
    for number in seeds(pytestconfig, SECONDS):
        with name_seed_on_failure(number):
            await play(order_env, RestartingOrderMachine, RANDOM, number)
