"""CPU seconds and memory of processes, numbers of SQL statements, and sizes of histories.

The product measures none of them except its number of statements, each of which is one round trip
(`tests/integration/store/test_round_trips.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

import psutil
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from support.metric_samples import scrape

_STATEMENTS = "orderfleet_database_operation_duration_seconds_count"
_MEBIBYTE = 2**20

CpuSeconds = dict[str, float]


def cpu_seconds(parts: Mapping[str, Iterable[psutil.Process]]) -> CpuSeconds:
    """CPU seconds that each part has used since it started, children that ended included."""
    return {name: sum(_of(process) for process in processes) for name, processes in parts.items()}


def _of(process: psutil.Process) -> float:
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            used = each.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total


def memory_mib(processes: Iterable[psutil.Process]) -> float:
    """Unique set size of the processes together, in MiB."""
    return sum(process.memory_full_info().uss for process in processes) / _MEBIBYTE


def statements(urls: Iterable[str]) -> float:
    """Number of statements that these workers have sent to Postgres."""
    return sum(scrape(url)(_STATEMENTS) for url in urls)


async def history(client: Client, workflow_ids: Iterable[str]) -> tuple[int, int]:
    """Events and completed workflow tasks of these workflows together."""
    events = tasks = 0
    for workflow_id in workflow_ids:
        for event in (await client.get_workflow_handle(workflow_id).fetch_history()).events:
            events += 1
            tasks += event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    return events, tasks
