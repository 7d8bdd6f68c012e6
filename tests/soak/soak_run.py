"""A soak: the local stack's roles under a steady load for a given time, sampled every few seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from chaos.proxied_stack import ProxiedStack, proxied_stack
from chaos.storm import environment
from orderfleet_local.stack import ports
from orderfleet_local.stack.roles import HEALTH_PORT, ROLES, SDK_METRICS_PORT
from soak import gauges
from soak.load import LoadGenerator, generate_load

Log = Callable[[str], None]
_PROGRESS_SECONDS = 60.0
_APPLICATION_NAMES = {
    "orders-worker": "orderfleet orders",
    "shipping-worker": "orderfleet shipping",
    "operator": "orderfleet operator",
    "api": "orderfleet api",
}
"""The `application_name` of each role's Postgres connections."""


@dataclass(frozen=True)
class SoakPlan:
    """Duration and size of a soak."""

    minutes: float
    concurrency: int
    seed: int
    every: float = 5.0
    """Seconds between two samples."""


@dataclass
class SoakResult:
    """The samples of a soak."""

    plan: SoakPlan
    samples: dict[str, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)
    """By role and gauge: seconds since the load began, and the value."""
    orders: list[tuple[float, int]] = field(default_factory=list)
    """Seconds since the load began, and the orders that had ended by then."""
    done: dict[str, int] = field(default_factory=dict)


async def soak(plan: SoakPlan, log: Log) -> SoakResult:
    """Run a soak.

    Args:
        plan: of the soak.
        log: gets a line of progress now and then.

    Raises:
        AssertionError: a role exited.
    """
    async with proxied_stack(environment(plan.seed)) as stack, generate_load(stack) as load:
        log(f"the stack is ready, in {stack.folder}")
        result = SoakResult(plan)
        running = asyncio.create_task(load.run(plan.seed, plan.concurrency))
        try:
            await _read(stack, load, result, running, log)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        return result


async def _read(
    stack: ProxiedStack, load: LoadGenerator, result: SoakResult, running: asyncio.Task[None], log: Log
) -> None:
    roles = {role.name: _role_target(stack, role.name) for role in ROLES}
    began, next_report = time.monotonic(), 0.0
    while (at := time.monotonic() - began) < result.plan.minutes * 60:
        assert not running.done(), f"the load failed: {running.exception()}"
        for name, role in roles.items():
            assert role.process.is_running(), f"{name} ended; see {stack.folder / 'logs'}"
            read = await gauges.read(role, stack.database_url)
            for gauge, value in read.items():
                result.samples.setdefault(name, {}).setdefault(gauge, []).append((at, value))
        result.orders.append((at, load.done["orders"]))
        result.done = dict(load.done)
        if at >= next_report:
            memory = (f"{name} {found[gauges.MEMORY.name][-1][1]:.1f}" for name, found in result.samples.items())
            log(f"{at / 60:5.1f} min: {load.done['orders']} orders; MiB: {', '.join(memory)}")
            next_report += _PROGRESS_SECONDS
        await asyncio.sleep(max(0.0, result.plan.every - (time.monotonic() - began - at)))


def _role_target(stack: ProxiedStack, name: str) -> gauges.RoleTarget:
    running = stack.running(name)
    sdk = running.ports.get(SDK_METRICS_PORT)
    sdk_metrics = f"http://{ports.HOST}:{sdk}/metrics" if sdk else None
    return gauges.RoleTarget(
        running.process,
        _APPLICATION_NAMES[name],
        f"http://{ports.HOST}:{running.ports[HEALTH_PORT]}/metrics",
        sdk_metrics,
    )
