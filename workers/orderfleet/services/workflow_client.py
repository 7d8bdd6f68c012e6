"""Whose an order id is: what a start leaves in Temporal, and whether another start is the same order.

Client and desk compare with it, one with Temporal's memo, the other with the record.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
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
from orderfleet.domain.shipment import CarrierUpdate
from orderfleet.domain.status import OrderStatus
from orderfleet.observability.order_trace import order_context, order_span
from orderfleet.services.deadline import ANSWER_TIMEOUT, RPC_TIMEOUT, remaining
from orderfleet.services.errors import (
    ChangeResult,
    Closed,
    OrderIdConflict,
    OrderRefused,
    Started,
    StartOutcome,
    in_time,
    translated,
)
from orderfleet.services.pending import PendingActivity, pending_activities, pending_children, with_pending
from orderfleet.settings import Settings


@dataclass(frozen=True)
class Claim:
    """Who says that an order id is theirs: what has to be known of an order to find it."""

    order_id: str
    owner: str
    owner_uid: str
    content_hash: str
    """Empty where the content isn't known: then nobody else's order is the same."""


def memo(order: OrderInput) -> dict[str, str]:
    """What stands beside the workflow in Temporal."""
    return {
        names.MEMO_OWNER: order.owner,
        names.MEMO_OWNER_UID: order.owner_uid,
        names.MEMO_CONTENT_HASH: order.content_hash,
    }


def conflict(order: OrderInput | Claim, *, owner: str, owner_uid: str, content: str) -> str | None:
    """Why `order` is not the one already known by its id; None when it is the same.

    The same Order object (by UID) is always the same. Another object of the same name, or another
    request, is the same if its content hash is.
    """
    if owner != order.owner:
        held = f"belongs to Order {owner}" if owner else "was made outside Kubernetes"
        return f"order id {order.order_id!r} {held}; choose another spec.orderId"
    if owner_uid and owner_uid == order.owner_uid:
        return None
    if content != order.content_hash:
        return f"order id {order.order_id!r} was used before with another content; choose another order id"
    return None


SUSPICIOUS: Final = timedelta(milliseconds=500)

"""After so long without an answer, Temporal is asked whether it is there at all."""

SIGNAL_RESERVE: Final = timedelta(milliseconds=400)

"""What the wait for a worker leaves of a caller's budget, so that the change can still go as a signal."""


async def change(
    handle: WorkflowHandle[Any, Any], order_id: str, name: str, args: list[Any], request_id: str, *, patience: float
) -> ChangeResult:
    """Send the update `name`; with no worker's answer in time, the signal of the same name.

    Args:
        handle: of the order's workflow.
        order_id: of the order.
        name: of the change, as update and as signal.
        args: its arguments.
        request_id: makes the same change, sent again, one; empty for one that is never sent again.
        patience: seconds that Temporal itself may take to answer one call.

    Raises:
        OrderRefused: the workflow refused; the message says why.
        TemporalUnavailable: Temporal did not answer.
        RPCError: see `errors.translated`.
    """
    wait = remaining(ANSWER_TIMEOUT.total_seconds(), reserve=SIGNAL_RESERVE.total_seconds())
    unanswered_at = time.monotonic() + wait
    update_id = _update_id(request_id, name, args) if request_id else str(uuid4())
    asked = asyncio.ensure_future(handle.execute_update(name, args=args, id=update_id, rpc_timeout=ANSWER_TIMEOUT))
    try:
        await _suspect(asked, handle, order_id, patience)
        async with asyncio.timeout(max(unanswered_at - time.monotonic(), 0)):
            await asked
    except WorkflowUpdateFailedError as error:
        raise OrderRefused(error_message(error.cause)) from error
    except (WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError):
        async with in_time(order_id, patience):
            await handle.signal(name, args=args, rpc_timeout=RPC_TIMEOUT)
        return ChangeResult.QUEUED
    finally:
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    return ChangeResult.ACCEPTED


async def _suspect(
    asked: asyncio.Future[Any], handle: WorkflowHandle[Any, Any], order_id: str, patience: float
) -> None:
    """Return once the update is answered, or Temporal says that it is there."""
    slow = SUSPICIOUS.total_seconds()
    done, _ = await asyncio.wait({asked}, timeout=slow)
    if not done:
        async with in_time(order_id, max(patience - slow, slow)):
            await handle.describe(rpc_timeout=RPC_TIMEOUT)


def _update_id(request_id: str, name: str, args: list[Any]) -> str:
    """An id that only the same change has: a caller may use one request id for several."""
    content = [arg.model_dump(mode="json") if isinstance(arg, BaseModel) else arg for arg in args]
    return f"{request_id}:{name}:{content_hash({'args': content})[:16]}"


class OrderClient:
    """Orders through Temporal.

    Args:
        temporal: a connected client with the pydantic data converter.
        task_queue: the order workers' queue.
        execution_timeout: after which Temporal ends an order's workflow without undoing anything; for
            tests and demos only.
        patience: longest wait for Temporal itself in one call; the SDK alone would try for 10 s.
    """

    def __init__(
        self,
        temporal: Client,
        *,
        task_queue: str = names.ORDERS_TASK_QUEUE,
        execution_timeout: timedelta | None = None,
        patience: timedelta = RPC_TIMEOUT,
    ) -> None:
        self._temporal = temporal
        self._task_queue = task_queue
        self._execution_timeout = execution_timeout
        self._patience = patience.total_seconds()

    @classmethod
    def of(cls, temporal: Client, settings: Settings, *, patience: timedelta = RPC_TIMEOUT) -> OrderClient:
        """The client as the settings say."""
        return cls(
            temporal,
            task_queue=settings.orders_task_queue,
            execution_timeout=settings.order_execution_timeout,
            patience=patience,
        )

    async def start(self, order: OrderInput) -> Started:
        """Start the order's workflow, or adopt the one that the same owner started with the same content.

        Raises:
            OrderConflict: the order id is taken by another owner or with another content.
            TemporalUnavailable: Temporal did not answer.
        """
        workflow_id = names.order_workflow_id(order.order_id)
        async with in_time(order.order_id, self._patience):
            with order_span(order.order_id, order.owner_uid, order.owner) as began:
                try:
                    handle = await self._temporal.start_workflow(
                        names.ORDER_WORKFLOW,
                        order,
                        id=workflow_id,
                        task_queue=self._task_queue,
                        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                        memo=memo(order),
                        static_summary=f"order {order.order_id}",
                        execution_timeout=self._execution_timeout,
                        rpc_timeout=RPC_TIMEOUT,
                    )
                except WorkflowAlreadyStartedError:
                    began.told = False
                    return await self._adopt(order, workflow_id)
        return Started(
            order_id=order.order_id,
            workflow_id=workflow_id,
            run_id=handle.first_execution_run_id or handle.result_run_id or "",
            outcome=StartOutcome.STARTED,
        )

    async def find(self, claim: Claim) -> Started:
        """Find the order's workflow without starting it, running or ended.

        Raises:
            OrderConflict: the order id is taken by another owner or with another content.
            OrderNotFound: Temporal knows no such workflow.
            TemporalUnavailable: Temporal did not answer.
        """
        async with in_time(claim.order_id, self._patience):
            return await self._adopt(claim, names.order_workflow_id(claim.order_id))

    async def _adopt(self, order: OrderInput | Claim, workflow_id: str) -> Started:
        description = await self._temporal.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT)
        known = await description.memo()
        owner, uid, content = (
            str(known.get(key, "")) for key in (names.MEMO_OWNER, names.MEMO_OWNER_UID, names.MEMO_CONTENT_HASH)
        )
        problem = conflict(order, owner=owner, owner_uid=uid, content=content)
        if problem is not None:
            raise OrderIdConflict(problem)
        return Started(
            order_id=order.order_id,
            workflow_id=workflow_id,
            run_id=description.run_id,
            outcome=StartOutcome.ADOPTED,
        )

    async def closed(self, order_id: str) -> Closed | None:
        """How the order's workflow ended; None while it runs.

        Raises:
            OrderNotFound: Temporal knows no such workflow.
            TemporalUnavailable: Temporal did not answer.
        """
        handle = self._handle(order_id)
        async with in_time(order_id, self._patience):
            description = await handle.describe(rpc_timeout=RPC_TIMEOUT)
            if description.close_time is None or description.status is None:
                return None
            reason = ""
            if description.status is WorkflowExecutionStatus.FAILED:
                try:
                    await handle.result(rpc_timeout=RPC_TIMEOUT)
                except WorkflowFailureError as failure:
                    cause = failure.cause
                    reason = cause.message if isinstance(cause, FailureError) else str(cause)
            how = description.status.name.lower().replace("_", " ")
            return Closed(how=how, reason=reason, at=description.close_time)

    async def declare(self, order_id: str, declaration: SpecUpdate) -> None:
        """Tell the workflow the declared state; durable also while no worker runs.

        Raises:
            OrderNotFound: the workflow does not run (any more).
            TemporalUnavailable: Temporal did not answer.
        """
        with order_context(order_id, declaration.owner_uid):
            await self.signal(order_id, names.APPLY_SPEC, [declaration])

    async def signal(self, order_id: str, name: str, args: Sequence[Any]) -> ChangeResult:
        """Signal the workflow and don't wait for what it says; durable also while no worker runs.

        Raises as `declare`.
        """
        async with in_time(order_id, self._patience):
            with order_context(order_id):
                await self._handle(order_id).signal(name, args=args, rpc_timeout=RPC_TIMEOUT)
        return ChangeResult.QUEUED

    async def approve(self, order_id: str, *, request_id: str = "") -> ChangeResult:
        """Approve the order.

        Raises:
            OrderNotFound: the workflow does not run (any more).
            OrderRefused: the workflow refused; the message says why.
            TemporalUnavailable: Temporal did not answer.
        """
        return await self._change(order_id, names.APPROVE, [], request_id)

    async def cancel(self, order_id: str, reason: str, *, request_id: str = "") -> ChangeResult:
        """Cancel the order. Raises as `approve`."""
        return await self._change(order_id, names.CANCEL_ORDER, [reason], request_id)

    async def cancel_payment(self, order_id: str, reason: str, *, request_id: str = "") -> ChangeResult:
        """Cancel the payment and so the order: not charged, or refunded. Raises as `approve`."""
        return await self._change(order_id, names.CANCEL_PAYMENT, [reason], request_id)

    async def update_address(self, order_id: str, address: Address, *, request_id: str = "") -> ChangeResult:
        """Send the package elsewhere. Raises as `approve`."""
        return await self._change(order_id, names.UPDATE_ADDRESS, [address], request_id)

    async def carrier_update(self, order_id: str, update: CarrierUpdate) -> None:
        """Tell the workflow what the carrier said; durable also while no worker runs.

        Raises:
            OrderNotFound: the workflow does not run (any more).
            TemporalUnavailable: Temporal did not answer.
        """
        await self.signal(order_id, names.CARRIER_UPDATE, [update])

    async def status(self, order_id: str) -> OrderStatus:
        """Ask the workflow itself, running or ended; Temporal adds the retries of what is under way.

        Raises:
            OrderNotFound: Temporal knows no such workflow.
            TemporalUnavailable: Temporal or the workers did not answer.
        """
        query = self._handle(order_id).query(names.STATUS_QUERY, result_type=OrderStatus, rpc_timeout=ANSWER_TIMEOUT)
        async with in_time(order_id, self._patience):
            # Side by side: they wait for different things, a worker and Temporal.
            status, pending = await asyncio.gather(query, self.pending(order_id))
        return with_pending(status, pending)

    async def pending(self, order_id: str) -> list[PendingActivity]:
        """What the order and its shipments are at, each with its attempts and last failure.

        Raises:
            OrderNotFound: Temporal knows no such workflow.
            TemporalUnavailable: Temporal did not answer.
        """
        with translated(order_id):
            order = await self._handle(order_id).describe(rpc_timeout=ANSWER_TIMEOUT)
            children = await asyncio.gather(
                *(
                    self._temporal.get_workflow_handle(child).describe(rpc_timeout=ANSWER_TIMEOUT)
                    for child in pending_children(order)
                )
            )
            return await pending_activities((order, *children), self._temporal.data_converter)

    async def _change(self, order_id: str, name: str, args: list[Any], request_id: str) -> ChangeResult:
        with translated(order_id), order_context(order_id):
            return await change(self._handle(order_id), order_id, name, args, request_id, patience=self._patience)

    def _handle(self, order_id: str) -> WorkflowHandle[Any, Any]:
        return self._temporal.get_workflow_handle(names.order_workflow_id(order_id))
