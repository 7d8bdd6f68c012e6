"""Reconciliations by command: start one, follow it to its end, list the differences that it left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Final

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowFailureError, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from orderfleet.domain import names
from orderfleet.domain.base import error_message
from orderfleet.domain.differences import DifferenceStore, RecordedDifference
from orderfleet.domain.errors import OrderfleetError
from orderfleet.domain.reconciliation_run import NOT_SUPPORTED, Reconciliation, ReconciliationProgress
from orderfleet.observability.tracing import untraced
from orderfleet.services.errors import TemporalUnavailable
from orderfleet.temporal.connection import explain_connection_error

POLL_SECONDS: Final = 0.5
"""Interval at which progress is read."""
QUERY_TIMEOUT: Final = timedelta(seconds=2)
"""How long progress may take: without a worker there is no answer."""


class ReconciliationRunning(OrderfleetError):
    """A reconciliation by command is running already."""


class ReconciliationFailed(OrderfleetError):
    """The reconciliation ended without a result; the message has the reason."""


class ReconciliationService:
    """Reconciliations by command. Every call raises `TemporalUnavailable` if Temporal does not answer.

    Args:
        temporal: a client; it may connect at the first call.
        store: the differences.
        task_queue: of the order workers.
    """

    def __init__(self, temporal: Client, store: DifferenceStore, task_queue: str) -> None:
        self._temporal = temporal
        self._store = store
        self._task_queue = task_queue

    async def reconcile(self, given: Reconciliation) -> AsyncIterator[ReconciliationProgress]:
        """Start a reconciliation and yield its progress; the last value is its result.

        The reconciliation continues if the caller stops.

        Raises:
            ReconciliationRunning: one by command is running.
            ReconciliationFailed: it failed, or was ended, or the payment provider does not list its payments.
        """
        with _translate_errors(), untraced():
            try:
                handle: WorkflowHandle[object, ReconciliationProgress] = await self._temporal.start_workflow(
                    names.RECONCILIATION_WORKFLOW,
                    given,
                    id=names.reconciliation_command_id(self._task_queue),
                    task_queue=self._task_queue,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    result_type=ReconciliationProgress,
                )
            except WorkflowAlreadyStartedError:
                raise ReconciliationRunning(
                    "a reconciliation is running already; wait for its end, then run this again"
                ) from None
            while (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
                with suppress(RPCError):
                    yield await handle.query(
                        names.RECONCILIATION_PROGRESS, result_type=ReconciliationProgress, rpc_timeout=QUERY_TIMEOUT
                    )
                await asyncio.sleep(POLL_SECONDS)
            try:
                result = await handle.result()
            except WorkflowFailureError as error:
                raise ReconciliationFailed(f"the reconciliation failed: {error_message(error.cause)}") from error
            if result.not_supported:
                raise ReconciliationFailed(f"{NOT_SUPPORTED} ({result.not_supported})")
            yield result

    async def differences(self, *, resolved: bool = False, limit: int = 100) -> list[RecordedDifference]:
        """Return the open differences, then those that are resolved if asked for, at most `limit`.

        Raises:
            StoreUnavailable: Postgres did not answer.
        """
        return await self._store.differences(resolved=resolved, limit=limit)


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except RPCError as error:
        raise TemporalUnavailable(f"Temporal did not answer: {error.message}") from error
    except RuntimeError as error:
        # The SDK's error at the first call of a client that connects lazily.
        if "client connect" in str(error):
            raise TemporalUnavailable(
                f"Temporal could not be reached: {explain_connection_error(str(error))}"
            ) from error
        raise
