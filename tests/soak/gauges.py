"""What a role uses at one time: memory, threads, files, connections, metric series.

The gauges are read from outside; only metrics are requested from the product.
"""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg
import psutil

_MEBIBYTE = 2**20
_CONNECTIONS = "select application_name, count(*) from pg_stat_activity where datname = current_database() group by 1"


@dataclass(frozen=True)
class Gauge:
    """One measured quantity; a rise up to `tolerance` over a whole soak is ignored."""

    name: str
    tolerance: float


# Memory that no other process shares is what a leak adds to; the other quantities are counts.
MEMORY = Gauge("memory, MiB", 2.0)
THREADS = Gauge("threads", 2.0)
FILES = Gauge("open files", 4.0)
CONNECTIONS = Gauge("Postgres connections", 2.0)
SERIES = Gauge("series of metrics", 20.0)
# The part of the load that a worker holds; memory that rises with it is no leak.
WORKFLOWS = Gauge("workflows in memory", 10.0)
GAUGES = (MEMORY, THREADS, FILES, CONNECTIONS, SERIES, WORKFLOWS)
_CACHED = "temporal_sticky_cache_size{"


@dataclass(frozen=True)
class RoleTarget:
    """One role's process, and where to read its gauges."""

    process: psutil.Process
    application: str
    """The `application_name` of its Postgres connections."""
    metrics: str
    """URL of its metrics."""
    sdk_metrics: str | None = None
    """URL of the metrics of Temporal's SDK, of workers only."""


async def read(role: RoleTarget, database_url: str) -> dict[str, float]:
    """Return every gauge of a role, by name.

    Raises:
        psutil.NoSuchProcess: the role has ended.
    """
    inside = await asyncio.to_thread(_inside, role)
    return {**inside, CONNECTIONS.name: await _connections(role, database_url)}


def _inside(role: RoleTarget) -> dict[str, float]:
    with role.process.oneshot():
        memory = role.process.memory_full_info().uss / _MEBIBYTE
        threads, files = role.process.num_threads(), role.process.num_fds()
    found: dict[str, float] = {MEMORY.name: memory, THREADS.name: threads, FILES.name: files}
    found[SERIES.name] = sum(1 for _ in _series(role.metrics))
    if role.sdk_metrics is not None:
        cached = (line for line in _series(role.sdk_metrics) if line.startswith(_CACHED))
        found[WORKFLOWS.name] = sum(float(line.rpartition(" ")[2]) for line in cached)
    return found


def _series(url: str) -> Iterator[str]:
    with urllib.request.urlopen(url, timeout=60) as response:
        text = response.read().decode()
    return (line for line in text.splitlines() if line and not line.startswith("#"))


async def _connections(role: RoleTarget, database_url: str) -> float:
    connection = await asyncpg.connect(database_url, timeout=30)
    try:
        found = dict(await connection.fetch(_CONNECTIONS))
    finally:
        await connection.close()
    return float(found.get(role.application, 0))
