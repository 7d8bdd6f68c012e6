"""The client of order workflows: start, adopt, change, query. Nothing else starts or signals an order's workflow.

Every call is idempotent: an order id names one workflow; `conflict` decides whether a second start is the same one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Self
from uuid import uuid4

from pydantic import BaseModel
from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import FailureError, WorkflowAlreadyStartedError

from orderfleet.domain import names
from orderfleet.domain.base import error_message
from orderfleet.domain.order import Address, OrderInput, SpecUpdate, content_hash
from orderfleet.domain.payment import RetryPayment
from orderfleet.domain.status import OrderStatus
from orderfleet.observability.tracing import order_context, order_span
from orderfleet.services.deadline import ANSWER_TIMEOUT, RPC_TIMEOUT, remaining
from orderfleet.services.errors import (
    ChangeResult,
    Closed,
    OrderChangeRejected,
    OrderIdConflict,
    Started,
    StartOutcome,
    temporal_timeout,
    translate_errors,
)
from orderfleet.services.pending import PendingActivity, pending_activities, pending_children, with_pending
from orderfleet.settings import Settings

LIVENESS_CHECK_DELAY: Final = timedelta(milliseconds=500)
"""How long an update may go unanswered before a call that needs no worker checks that Temporal is reachable."""

SIGNAL_RESERVE: Final = timedelta(milliseconds=400)
"""Time of a deadline scope that the wait for a worker leaves, so that the change can still be sent as a signal."""


@dataclass(frozen=True)
class Claim:
    """What identifies the owner and the content of an order id, without the order itself."""

    order_id: str
    owner: str
    owner_uid: str
    content_hash: str
    """Empty where the content isn't known: then it equals no other order's."""


def conflict(order: OrderInput | Claim, *, owner: str, owner_uid: str, content: str) -> str | None:
    """Why `order` is not the order that already has its id.

    Args:
        order: the one to compare.
        owner: `namespace/name` of the existing order's owner; empty for an order without one.
        owner_uid: UID of the existing order's owner.
        content: content hash of the existing order.

    Returns:
        A message, or None for the same order: of the same Order object (by UID), or of the same owner and content.
    """
    if owner != order.owner:
        held = f"belongs to Order {owner}" if owner else "was made outside Kubernetes"
        return f"order id {order.order_id!r} {held}; choose another spec.orderId"
    if owner_uid and owner_uid == order.owner_uid:
        return None
    if content != order.content_hash:
        return f"order id {order.order_id!r} was used before with another content; choose another order id"
    return None


@dataclass(frozen=True)
class Change:
    """One change of an order."""

    name: str
    """Of the workflow's update handler and of its signal handler."""
    args: tuple[Any, ...] = ()

    @classmethod
    def approve(cls) -> Self:
        """Approve the order: the charge follows."""
        return cls(names.APPROVE)

    @classmethod
    def cancel(cls, reason: str) -> Self:
        """Cancel the order."""
        return cls(names.CANCEL_ORDER, (reason,))

    @classmethod
    def cancel_payment(cls, reason: str) -> Self:
        """Cancel the payment and the order: the customer is not charged, or is refunded."""
        return cls(names.CANCEL_PAYMENT, (reason,))

    @classmethod
    def update_address(cls, address: Address) -> Self:
        """Send the package to another address."""
        return cls(names.UPDATE_ADDRESS, (address,))

    @classmethod
    def retry_payment(cls, method: str = "") -> Self:
        """Capture the payment of a held order again, with `method` if it is not empty."""
        return cls(names.RETRY_PAYMENT, (RetryPayment(method=method),))

    def update_id(self, request_id: str) -> str:
        """The id of the update in Temporal, which runs updates of one id once.

        Args:
            request_id: the caller's; one request id may be used for several changes, so the id includes the content.
        """
        content = [arg.model_dump(mode="json") if isinstance(arg, BaseModel) else arg for arg in self.args]
        return f"{request_id}:{self.name}:{content_hash({'args': content})[:16]}"


class OrderClient:
    """Orders through Temporal.

    Args:
        temporal: a client with the data converter of `orderfleet.temporal`.
        task_queue: the order workers' queue.
        execution_timeout: after which Temporal ends an order's workflow without compensation; for tests and demos
            only.
        timeout: longest wait for Temporal in one call; an open deadline scope may shorten it. The SDK alone would
            retry for 10 s.
    """

    def __init__(
        self,
        temporal: Client,
        *,
        task_queue: str = names.ORDERS_TASK_QUEUE,
        execution_timeout: timedelta | None = None,
        timeout: timedelta = RPC_TIMEOUT,
    ) -> None:
        self._temporal = temporal
        self._task_queue = task_queue
        self._execution_timeout = execution_timeout
        self._timeout = timeout.total_seconds()

    @classmethod
    def of(cls, temporal: Client, settings: Settings, *, timeout: timedelta = RPC_TIMEOUT) -> OrderClient:
        """A client with the settings' task queue and execution timeout; other arguments as of the constructor."""
        return cls(
            temporal,
            task_queue=settings.orders_task_queue,
            execution_timeout=settings.order_execution_timeout,
            timeout=timeout,
        )

    async def start(self, order: OrderInput) -> Started:
        """Start the order's workflow, or adopt the one that the same owner started with the same content.

        Raises:
            OrderIdConflict: the order id belongs to another owner, or was used with other content.
            TemporalUnavailable: Temporal did not answer.
        """
        workflow_id = names.order_workflow_id(order.order_id)
        async with temporal_timeout(order.order_id, self._timeout):
            with order_span(order.order_id, order.owner_uid, order.owner) as root:
                try:
                    handle = await self._temporal.start_workflow(
                        names.ORDER_WORKFLOW,
                        order,
                        id=workflow_id,
                        task_queue=self._task_queue,
                        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                        # `find` and a second start compare it.
                        memo={
                            names.MEMO_OWNER: order.owner,
                            names.MEMO_OWNER_UID: order.owner_uid,
                            names.MEMO_CONTENT_HASH: order.content_hash,
                        },
                        static_summary=f"order {order.order_id}",
                        execution_timeout=self._execution_timeout,
                    )
                except WorkflowAlreadyStartedError:
                    root.exported = False
                    return await self._adopt(order, workflow_id)
        return Started(
            order_id=order.order_id,
            workflow_id=workflow_id,
            run_id=handle.first_execution_run_id or handle.result_run_id or "",
            outcome=StartOutcome.STARTED,
        )

    async def find(self, claim: Claim) -> Started:
        """Adopt the order's workflow, running or closed, without starting one.

        Raises:
            OrderIdConflict: the order id belongs to another owner, or was used with other content.
            OrderNotFound: Temporal has no such workflow.
            TemporalUnavailable: Temporal did not answer.
        """
        async with temporal_timeout(claim.order_id, self._timeout):
            return await self._adopt(claim, names.order_workflow_id(claim.order_id))

    async def _adopt(self, order: OrderInput | Claim, workflow_id: str) -> Started:
        description = await self._temporal.get_workflow_handle(workflow_id).describe()
        stored = await description.memo()
        owner, uid, content = (
            str(stored.get(key, "")) for key in (names.MEMO_OWNER, names.MEMO_OWNER_UID, names.MEMO_CONTENT_HASH)
        )
        problem = conflict(order, owner=owner, owner_uid=uid, content=content)
        if problem is not None:
            raise OrderIdConflict(problem)
        return Started(
            order_id=order.order_id, workflow_id=workflow_id, run_id=description.run_id, outcome=StartOutcome.ADOPTED
        )

    async def closed(self, order_id: str) -> Closed | None:
        """How the order's workflow closed; None while it runs.

        Raises:
            OrderNotFound: Temporal has no such workflow.
            TemporalUnavailable: Temporal did not answer.
        """
        handle = self._handle(order_id)
        async with temporal_timeout(order_id, self._timeout):
            description = await handle.describe()
            if description.close_time is None or description.status is None:
                return None
            reason = ""
            if description.status is WorkflowExecutionStatus.FAILED:
                try:
                    await handle.result()
                except WorkflowFailureError as failure:
                    cause = failure.cause
                    reason = cause.message if isinstance(cause, FailureError) else str(cause)
            how = description.status.name.lower().replace("_", " ")
            return Closed(how=how, reason=reason, at=description.close_time)

    async def apply_spec(self, order_id: str, spec: SpecUpdate) -> None:
        """Send the Order's spec to the workflow; Temporal keeps it until a worker runs.

        Raises as `signal`.
        """
        with order_context(order_id, spec.owner_uid):
            await self.signal(order_id, names.APPLY_SPEC, [spec])

    async def signal(self, order_id: str, name: str, args: Sequence[Any]) -> ChangeResult:
        """Signal the workflow without waiting for its answer; Temporal keeps the signal until a worker runs.

        Args:
            order_id: of the order.
            name: of the workflow's signal handler.
            args: of the signal.

        Raises:
            OrderNotFound: the workflow does not run.
            TemporalUnavailable: Temporal did not answer.
        """
        async with temporal_timeout(order_id, self._timeout):
            with order_context(order_id):
                await self._handle(order_id).signal(name, args=args)
        return ChangeResult.QUEUED

    async def change(self, order_id: str, change: Change, *, request_id: str = "") -> ChangeResult:
        """Send the change as an update, or as a signal of the same name when no worker answers in time.

        Args:
            order_id: of the order.
            change: what to change.
            request_id: makes a repeated change take effect once; empty for a change that is never repeated.

        Raises:
            OrderNotFound: the workflow does not run.
            OrderChangeRejected: the workflow rejected the change; the message says why.
            TemporalUnavailable: Temporal did not answer.
        """
        update_id = change.update_id(request_id) if request_id else str(uuid4())
        wait = remaining(ANSWER_TIMEOUT.total_seconds(), reserve=SIGNAL_RESERVE.total_seconds())
        end = time.monotonic() + wait
        with translate_errors(order_id), order_context(order_id):
            update = asyncio.ensure_future(
                self._handle(order_id).execute_update(change.name, args=change.args, id=update_id)
            )
            try:
                await self._check_reachable(order_id, update)
                # With `await update`, the SDK would turn a cancellation of this task into an error of the update.
                await asyncio.wait({update}, timeout=max(end - time.monotonic(), 0))
                if update.done():
                    update.result()
                    return ChangeResult.ACCEPTED
            except WorkflowUpdateFailedError as error:
                raise OrderChangeRejected(error_message(error.cause)) from error
            except WorkflowUpdateRPCTimeoutOrCancelledError:
                # Temporal ended the wait for a worker.
                pass
            finally:
                update.cancel()
                await asyncio.gather(update, return_exceptions=True)
            return await self.signal(order_id, change.name, change.args)

    async def _check_reachable(self, order_id: str, update: asyncio.Future[Any]) -> None:
        """Return once the update is answered, or Temporal has answered a call that needs no worker."""
        delay = LIVENESS_CHECK_DELAY.total_seconds()
        answered, _ = await asyncio.wait({update}, timeout=delay)
        if not answered:
            async with temporal_timeout(order_id, max(self._timeout - delay, delay)):
                await self._handle(order_id).describe()

    async def status(self, order_id: str) -> OrderStatus:
        """Query the workflow, running or closed; the retries of its pending activities come from Temporal.

        Raises:
            OrderNotFound: Temporal has no such workflow.
            TemporalUnavailable: Temporal or the workers did not answer.
        """
        query = self._handle(order_id).query(names.STATUS_QUERY, result_type=OrderStatus, rpc_timeout=ANSWER_TIMEOUT)
        async with temporal_timeout(order_id, self._timeout):
            # Concurrently: the query waits for a worker, the descriptions wait for Temporal only.
            status, pending = await asyncio.gather(query, self._pending(order_id))
        return with_pending(status, pending)

    async def pending(self, order_id: str) -> list[PendingActivity]:
        """The pending activities of the order and its shipments, each with its attempts and last failure.

        Raises:
            OrderNotFound: Temporal has no such workflow.
            TemporalUnavailable: Temporal did not answer.
        """
        async with temporal_timeout(order_id, self._timeout):
            return await self._pending(order_id)

    async def _pending(self, order_id: str) -> list[PendingActivity]:
        order = await self._handle(order_id).describe()
        children = await asyncio.gather(
            *(self._temporal.get_workflow_handle(child).describe() for child in pending_children(order))
        )
        return await pending_activities((order, *children), self._temporal.data_converter)

    def _handle(self, order_id: str) -> WorkflowHandle[Any, Any]:
        return self._temporal.get_workflow_handle(names.order_workflow_id(order_id))
