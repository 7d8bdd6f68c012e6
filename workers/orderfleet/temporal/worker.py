"""How a Temporal worker runs as a process: health, polling, and a bounded drain on SIGTERM.

Called by the order and the shipping worker, which say what they serve. On a stop the worker polls
no more, finishes what it holds within the drain bound, and returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import structlog
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError
from temporalio.worker import (
    Interceptor,
    PollerBehaviorAutoscaling,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkflowRunner,
)

from orderfleet import __version__
from orderfleet.observability.health import HealthServer
from orderfleet.process import Stop
from orderfleet.settings import Settings
from orderfleet.temporal.connection import FIRST_WAIT, LONGEST_WAIT, connect_with_retry, core_runtime
from orderfleet.temporal.credential_reload import reload_credentials
from orderfleet.temporal.encryption import for_worker
from orderfleet.temporal.interceptors import ActivityIdentity

_log = structlog.get_logger()

_LAST_WORD: Final = timedelta(seconds=3)
"""Beyond the drain bound: for activities that were canceled to report so."""


@dataclass(frozen=True)
class WorkerSpec:
    """What one worker serves."""

    task_queue: str
    workflows: Sequence[type]
    activities: Sequence[Callable[..., Any]]
    interceptors: Sequence[Interceptor] = field(default=())
    background: Sequence[Callable[[], Awaitable[None]]] = field(default=())
    """What runs beside the worker until it drains; each catches its own failures."""
    versioning: VersioningBehavior = VersioningBehavior.AUTO_UPGRADE
    """How a running workflow goes with versions. Not said with the workflows: a worker without a version may not."""


WorkerFactory = Callable[[Client], Awaitable[WorkerSpec]]
"""Makes a duty once there is a connection."""


def build(client: Client, settings: Settings, duty: WorkerSpec, runner: WorkflowRunner | None = None) -> Worker:
    """Make the worker; it polls once it is run.

    Args:
        client: a connected one.
        settings: of the worker.
        duty: what it serves.
        runner: of workflow code. The default has no sandbox, which would load the workflows' modules
            again for every run; tests give the sandbox, so that what it forbids is found there.
    """
    config = client.config()
    config["data_converter"] = for_worker(client.data_converter)
    return Worker(
        Client(**config),
        task_queue=duty.task_queue,
        workflows=duty.workflows,
        activities=duty.activities,
        interceptors=[ActivityIdentity(), *duty.interceptors],
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        max_cached_workflows=settings.worker_cached_workflows,
        max_concurrent_workflow_tasks=settings.worker_workflow_slots,
        max_concurrent_activities=settings.worker_activity_slots,
        max_concurrent_local_activities=settings.worker_activity_slots,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        # We store nothing outside; with more than one, the SDK makes a task of asyncio for every payload.
        max_workflow_task_external_storage_concurrency=1,
        graceful_shutdown_timeout=settings.drain_timeout,
        deployment_config=_version(settings, duty),
    )


def _version(settings: Settings, duty: WorkerSpec) -> WorkerDeploymentConfig | None:
    """Which version of which deployment the worker is, if it is one."""
    if not settings.worker_deployment:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.worker_deployment, settings.worker_build_id or __version__),
        use_worker_versioning=True,
        default_versioning_behavior=duty.versioning,
    )


async def serve(settings: Settings, stop: Stop, wires: Sequence[WorkerFactory]) -> None:
    """Serve until asked to stop, then drain; also while Temporal is not there yet.

    Raises:
        RuntimeError: a worker failed for good, such as for a namespace that does not exist.
    """
    problem: str | None = "not connected to Temporal yet"
    async with HealthServer(settings.health_host, settings.health_port, lambda: problem) as health:
        _log.info("health port open", port=health.port)
        wiring = asyncio.ensure_future(_build(settings, wires))
        await _first(wiring, stop)
        if stop.requested:
            wiring.cancel()
            return
        client, duties = wiring.result()
        workers = [build(client, settings, duty) for duty in duties]
        async with reload_credentials(client, settings, workers):
            running = [asyncio.ensure_future(worker.run()) for worker in workers]
            background = [asyncio.ensure_future(work()) for duty in duties for work in duty.background]
            problem = None
            _log.info("polling", task_queues=[duty.task_queue for duty in duties])
            stopping = asyncio.ensure_future(stop.wait())
            await asyncio.wait([stopping, *running], return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            for work in background:
                work.cancel()
            problem = "draining"
            await _drain(workers, running, settings.drain_timeout + _LAST_WORD)


async def _build(settings: Settings, wires: Sequence[WorkerFactory]) -> tuple[Client, list[WorkerSpec]]:
    client = await connect_with_retry(settings, runtime=core_runtime(settings))
    return client, [await _patiently(wire, client) for wire in wires]


async def _patiently(wire: WorkerFactory, client: Client) -> WorkerSpec:
    """Wire a duty, waiting as long as it takes: a Temporal that has just started may not know its namespace yet."""
    wait = FIRST_WAIT
    while True:
        try:
            return await wire(client)
        except RPCError as error:
            _log.warning("Temporal can't be asked yet, trying again", wait_seconds=wait, error=str(error))
        await asyncio.sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT)


async def _first(work: asyncio.Future[Any], stop: Stop) -> None:
    """Return when the work is done or a stop is asked for, whichever comes first."""
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()


async def _drain(workers: list[Worker], running: Sequence[asyncio.Future[None]], bound: timedelta) -> None:
    failed = [task.exception() for task in running if task.done()]
    shutdowns = [asyncio.ensure_future(worker.shutdown()) for worker in workers]
    _done, late = await asyncio.wait([*running, *shutdowns], timeout=bound.total_seconds())
    if late:
        # What they hold is retried elsewhere: Temporal times the attempts out.
        _log.warning("drain bound reached, leaving work behind", bound_seconds=bound.total_seconds())
    for error in failed:
        if error is not None:
            raise RuntimeError(f"the worker failed: {error}") from error
    _log.info("drained")
