"""A soak: the local stack's roles under a steady load for a given time, read every few seconds.

`soak` and nobody else calls it. It gathers and doesn't judge.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import gauges
from shoppers import Shoppers, shoppers
from storm import environment
from stormy_stack import StormyStack, stormy_stack

from orderfleet_local.stack import ports
from orderfleet_local.stack.roles import HEALTH_PORT, ROLES, SDK_METRICS_PORT

Say = Callable[[str], None]
_TELL = 60.0
_SHOWN = {
    "orders-worker": "orderfleet orders",
    "shipping-worker": "orderfleet shipping",
    "operator": "orderfleet operator",
    "api": "orderfleet api",
}
"""How Postgres shows each role's connections."""


@dataclass(frozen=True)
class Plan:
    """How long, and how much of everything."""

    minutes: float
    under_way: int
    seed: int
    every: float = 5.0
    """Seconds from one sample to the next."""


@dataclass
class Soaked:
    """What was read."""

    plan: Plan
    samples: dict[str, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)
    """By role and gauge: seconds since the load began, and the value."""
    orders: list[tuple[float, int]] = field(default_factory=list)
    """Seconds, and how many orders were done with by then."""
    done: dict[str, int] = field(default_factory=dict)


async def soak(plan: Plan, say: Say) -> Soaked:
    """Run the whole of it.

    Raises:
        AssertionError: a role ended by itself.
    """
    async with stormy_stack(environment(plan.seed)) as stack, shoppers(stack) as crowd:
        say(f"the stack is ready, in {stack.folder}")
        soaked = Soaked(plan)
        coming = asyncio.create_task(crowd.come(plan.seed, plan.under_way))
        try:
            await _read(stack, crowd, soaked, coming, say)
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        return soaked


async def _read(stack: StormyStack, crowd: Shoppers, soaked: Soaked, coming: asyncio.Task[None], say: Say) -> None:
    roles = {role.name: _measured(stack, role.name) for role in ROLES}
    began, told = time.monotonic(), 0.0
    while (at := time.monotonic() - began) < soaked.plan.minutes * 60:
        assert not coming.done(), f"the load broke off: {coming.exception()}"
        for name, role in roles.items():
            assert role.process.is_running(), f"{name} ended; see {stack.folder / 'logs'}"
            read = await gauges.read(role, stack.database_url)
            for gauge, value in read.items():
                soaked.samples.setdefault(name, {}).setdefault(gauge, []).append((at, value))
        soaked.orders.append((at, crowd.done["orders"]))
        soaked.done = dict(crowd.done)
        if at >= told:
            memory = (f"{name} {found[gauges.MEMORY.name][-1][1]:.1f}" for name, found in soaked.samples.items())
            say(f"{at / 60:5.1f} min: {crowd.done['orders']} orders; MiB: {', '.join(memory)}")
            told += _TELL
        await asyncio.sleep(max(0.0, soaked.plan.every - (time.monotonic() - began - at)))


def _measured(stack: StormyStack, name: str) -> gauges.Measured:
    running = stack.running(name)
    sdk = running.ports.get(SDK_METRICS_PORT)
    sdk_metrics = f"http://{ports.HOST}:{sdk}/metrics" if sdk else None
    return gauges.Measured(
        running.process, _SHOWN[name], f"http://{ports.HOST}:{running.ports[HEALTH_PORT]}/metrics", sdk_metrics
    )
