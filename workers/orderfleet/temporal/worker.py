"""Runs Temporal workers as a process: health, polling, and a drain of bounded duration on SIGTERM.

A stopped worker polls no more tasks, finishes those that it has within the drain timeout, and exits. The logs and the
span of each activity have the order's id, and its input is checked before it does anything.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, get_type_hints

import structlog
from opentelemetry import trace
from temporalio import activity
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    PollerBehaviorAutoscaling,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkflowRunner,
)

from orderfleet import __version__
from orderfleet.domain import errors
from orderfleet.domain.activities import StepInput
from orderfleet.domain.base import truncate
from orderfleet.domain.inputs import Unreadable
from orderfleet.observability.health import serve_health
from orderfleet.observability.tracing import ORDER_ID
from orderfleet.process import Stop
from orderfleet.settings import Settings
from orderfleet.temporal.connection import (
    INITIAL_BACKOFF,
    MAX_BACKOFF,
    connect_with_retry,
    core_runtime,
    reload_credentials,
)
from orderfleet.temporal.encryption import for_worker

_log = structlog.get_logger()

_CANCELLATION_GRACE: Final = timedelta(seconds=3)
"""Time after the drain timeout for canceled activities to report their cancellation."""


ATTEMPT: Final = "orderfleet.step.attempt"
STEP: Final = "orderfleet.step.name"

_PROVIDER_ERRORS: Final = (
    errors.Unavailable,
    errors.PaymentRefused,
    errors.PaymentVoided,
    errors.PaymentOutcomeUnknown,
    errors.ProviderRequestRejected,
    errors.CarrierRefused,
)
"""Errors that quote the payment provider or the carrier."""


@dataclass(frozen=True)
class WorkerSpec:
    """Task queue, workflows and activities of one worker."""

    task_queue: str
    workflows: Sequence[type]
    activities: Sequence[Callable[..., Any]]
    interceptors: Sequence[Interceptor] = field(default=())
    background: Sequence[Callable[[], Awaitable[None]]] = field(default=())
    """Run concurrently with the worker until it drains. They must never raise."""
    versioning: VersioningBehavior = VersioningBehavior.AUTO_UPGRADE
    """Versioning of running workflows. It is not set on the workflows: a worker without a version must not have it."""


WorkerFactory = Callable[[Client], Awaitable[WorkerSpec]]
"""Builds a worker's spec with a connected client."""


def build(client: Client, settings: Settings, spec: WorkerSpec, runner: WorkflowRunner | None = None) -> Worker:
    """Return the worker; it polls once it runs.

    Args:
        client: a connected one.
        settings: of the worker.
        spec: of the worker.
        runner: of workflow code. The default has no sandbox, which would load the workflows' modules again for
            every run. Tests use the sandbox, to find what it forbids.
    """
    config = client.config()
    config["data_converter"] = for_worker(client.data_converter)
    return Worker(
        Client(**config),
        task_queue=spec.task_queue,
        workflows=spec.workflows,
        activities=spec.activities,
        interceptors=[ActivityIdentity(), *spec.interceptors],
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        max_cached_workflows=settings.worker_cached_workflows,
        max_concurrent_workflow_tasks=settings.worker_workflow_slots,
        max_concurrent_activities=settings.worker_activity_slots,
        max_concurrent_local_activities=settings.worker_activity_slots,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        # No payload is stored externally; with more than one, the SDK creates an asyncio task for every payload.
        max_workflow_task_external_storage_concurrency=1,
        graceful_shutdown_timeout=settings.drain_timeout,
        deployment_config=_version(settings, spec),
    )


def _version(settings: Settings, spec: WorkerSpec) -> WorkerDeploymentConfig | None:
    """The worker's deployment and version; None without a deployment."""
    if not settings.worker_deployment:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.worker_deployment, settings.worker_build_id or __version__),
        use_worker_versioning=True,
        default_versioning_behavior=spec.versioning,
    )


async def serve(settings: Settings, stop: Stop, factories: Sequence[WorkerFactory]) -> None:
    """Run the workers until a stop is requested, then drain. Waits for Temporal if it is unavailable at the start.

    Args:
        settings: of the workers.
        stop: requests the drain.
        factories: one for each worker.

    Raises:
        RuntimeError: a worker failed permanently, for example because its namespace does not exist.
    """
    problem: str | None = "not connected to Temporal yet"
    async with serve_health(settings.health_host, settings.health_port, lambda: problem) as port:
        _log.info("health port open", port=port)
        building = asyncio.ensure_future(_build(settings, factories))
        await stop.wait(building)
        if stop.requested:
            building.cancel()
            return
        client, specs = building.result()
        workers = [build(client, settings, spec) for spec in specs]
        async with reload_credentials(client, settings, workers):
            running = [asyncio.ensure_future(worker.run()) for worker in workers]
            background = [asyncio.ensure_future(work()) for spec in specs for work in spec.background]
            problem = None
            _log.info("polling", task_queues=[spec.task_queue for spec in specs])
            await stop.wait(*running)
            for work in background:
                work.cancel()
            problem = "draining"
            await _drain(workers, running, settings.drain_timeout + _CANCELLATION_GRACE)


async def _build(settings: Settings, factories: Sequence[WorkerFactory]) -> tuple[Client, list[WorkerSpec]]:
    client = await connect_with_retry(settings, runtime=core_runtime(settings))
    return client, [await _build_spec(factory, client) for factory in factories]


async def _build_spec(factory: WorkerFactory, client: Client) -> WorkerSpec:
    """Build a spec, retrying as long as it takes: Temporal may not know its namespace right after its start."""
    wait = INITIAL_BACKOFF
    while True:
        try:
            return await factory(client)
        except RPCError as error:
            _log.warning("Temporal rejects calls, trying again", wait_seconds=wait, error=str(error))
        await asyncio.sleep(wait)
        wait = min(wait * 2, MAX_BACKOFF)


async def _drain(workers: list[Worker], running: Sequence[asyncio.Future[None]], bound: timedelta) -> None:
    failed = [task.exception() for task in running if task.done()]
    shutdowns = [asyncio.ensure_future(worker.shutdown()) for worker in workers]
    _done, late = await asyncio.wait([*running, *shutdowns], timeout=bound.total_seconds())
    if late:
        # Temporal times their attempts out, and another worker retries them.
        _log.warning("drain bound reached, leaving work behind", bound_seconds=bound.total_seconds())
    for error in failed:
        if error is not None:
            raise RuntimeError(f"the worker failed: {error}") from error
    _log.info("drained")


class ActivityIdentity(Interceptor):
    """Adds order, workflow, activity and attempt to logs and span."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - temporalio's name
        """Wrap the activity."""
        return _Identified(next)


class _Identified(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - temporalio's name
        info = activity.info()
        step = input.args[0] if input.args else None
        order_id = step.order_id if isinstance(step, StepInput) else ""
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attributes(
                {
                    **({ORDER_ID: order_id} if order_id else {}),
                    STEP: info.activity_type,
                    ATTEMPT: info.attempt,
                    "orderfleet.step.local": info.is_local,
                }
            )
        with structlog.contextvars.bound_contextvars(
            **({"order_id": order_id} if order_id else {}),
            workflow_id=info.workflow_id,
            activity=info.activity_type,
            attempt=info.attempt,
        ):
            try:
                _check(info.activity_type, input)
                return await super().execute_activity(input)
            except Exception as error:
                _log_failure(error)
                raise


def _check(name: str, call: ExecuteActivityInput) -> None:
    """Reject arguments that the activity doesn't take.

    Raises:
        ApplicationError: every further attempt would fail as well; the message names the activity.
        PayloadDecryptionError: no key decrypts them. Orderfleet's own workflows encrypted them, so a key is missing.
    """
    expected = _parameters(call.fn)
    count = len(call.args)
    problem = "" if count == len(expected) else f"takes {len(expected)} arguments; {count} were given"
    for value, kind in zip(call.args, expected, strict=False):
        if isinstance(value, Unreadable):
            if value.encrypted:
                raise errors.PayloadDecryptionError(value.reason)
            problem = problem or value.reason
        elif isinstance(kind, type) and not isinstance(value, kind):
            problem = problem or f"takes an object of type {kind.__name__}"
    if problem:
        raise ApplicationError(truncate(f"activity {name}: {problem}"), type=errors.INVALID_INPUT, non_retryable=True)


@lru_cache(maxsize=256)
def _parameters(activity_fn: Callable[..., Any]) -> tuple[Any, ...]:
    """The types of an activity's parameters; `object` for a parameter without one."""
    hints = get_type_hints(activity_fn)
    return tuple(hints.get(parameter, object) for parameter in inspect.signature(activity_fn).parameters)


def _log_failure(error: Exception) -> None:
    """Log an expected failure in one line, an unexpected one with a traceback."""
    expected = isinstance(error, errors.OrderfleetError | ApplicationError)
    kind, text = type(error).__name__, str(error)
    if isinstance(error, ApplicationError):
        kind, text = error.type or kind, error.message
    if isinstance(error, _PROVIDER_ERRORS) or isinstance(error.__cause__, _PROVIDER_ERRORS):
        # The text behind the colon is the provider's and may name a customer. The audit trail has it.
        text = text.partition(": ")[0]
    _log.warning("attempt failed", error=f"{kind}: {truncate(text)}", exc_info=None if expected else error)
