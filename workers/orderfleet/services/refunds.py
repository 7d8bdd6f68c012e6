"""Refunds that a client asks for: started durably in Temporal, decided by the order store, made by `RefundWorkflow`.

A refund is started before it is decided, so that it is made also if no worker runs now. Its id makes a repeated request
the same refund. The order store decides, also after Temporal has deleted the workflow.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple, Self
from uuid import uuid4

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from orderfleet.domain import names
from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.finance import FinanceReader
from orderfleet.domain.ledger import RefundDecision, RefundLine, RefundRefusal
from orderfleet.domain.money import minor_units
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.policy import OrderPolicy
from orderfleet.domain.refunds import (
    LineQuantity,
    RefundOrder,
    RefundResult,
    amount_problems,
    conflict_reason,
    line_problems,
    not_charged,
    order_lines,
    refusal_reason,
)
from orderfleet.domain.status import OrderStatus
from orderfleet.observability.tracing import order_context
from orderfleet.services.deadline import ANSWER_TIMEOUT, RPC_TIMEOUT, Deadline, deadline_scope, remaining
from orderfleet.services.errors import (
    ChangeResult,
    InvalidRefund,
    RefundIdConflict,
    RefundRejected,
    temporal_timeout,
)
from orderfleet.services.orders import OrderService
from orderfleet.services.payment_views import RefundView, refund_views
from orderfleet.settings import Settings
from orderfleet.temporal.connection import is_workflow_not_found
from orderfleet.temporal.refunds import NUMBERED


def refund_id_for(idempotency_key: str | None) -> str:
    """The refund id derived from a key, so that keys need not be stored; a random one without a key."""
    if idempotency_key is None:
        return f"rf-{secrets.token_hex(8)}"
    return f"rf-{hashlib.sha256(idempotency_key.encode()).hexdigest()[:20]}"


class RefundAnswer(NamedTuple):
    """The answer to a request of a refund that was not rejected."""

    refund_id: str
    result: ChangeResult
    """`QUEUED`: no worker has decided about it yet."""
    refund: RefundView | None = None
    """None while it is queued."""
    replayed: bool = False
    """Whether an earlier request made it, as far as that is known."""


class RefundService:
    """Starts refunds of orders, running or ended.

    Args:
        temporal: a client with the data converter of `orderfleet.temporal`.
        orders: finds the order and its payment.
        payments: of the order store.
        task_queue: the order workers' queue.
        policy: of the refunds' steps.
        timeout: longest duration of one call; an open deadline scope may shorten it.
    """

    def __init__(
        self,
        temporal: Client,
        orders: OrderService,
        payments: FinanceReader,
        *,
        task_queue: str = names.ORDERS_TASK_QUEUE,
        policy: OrderPolicy | None = None,
        timeout: timedelta = RPC_TIMEOUT,
    ) -> None:
        self._temporal = temporal
        self._orders = orders
        self._payments = payments
        self._task_queue = task_queue
        self._policy = policy or OrderPolicy()
        self._timeout = timeout.total_seconds()

    @classmethod
    def of(
        cls,
        temporal: Client,
        orders: OrderService,
        payments: FinanceReader,
        settings: Settings,
        *,
        timeout: timedelta = RPC_TIMEOUT,
    ) -> Self:
        """A service with the settings' task queue and policy; other arguments as of the constructor."""
        return cls(
            temporal,
            orders,
            payments,
            task_queue=settings.orders_task_queue,
            policy=settings.order_policy(),
            timeout=timeout,
        )

    async def refund(
        self,
        order_id: str,
        refund_id: str,
        *,
        amount: Decimal | None = None,
        lines: Sequence[LineQuantity] = (),
        reason: str = "",
    ) -> RefundAnswer:
        """Refund an amount or pieces of lines, and wait at most `ANSWER_TIMEOUT` for the decision.

        Args:
            order_id: of the order.
            refund_id: makes a repeated request the same refund.
            amount: in the order's currency; None to refund lines.
            lines: whose pieces to refund; empty to refund an amount.
            reason: why, for people.

        Raises:
            OrderNotFound: there is no such order.
            InvalidRefund: the amount or the lines are wrong; each problem names its field.
            RefundRejected: not so much can be refunded; the message says what can.
            RefundIdConflict: the refund id belongs to a refund of something else.
            StoreUnavailable: the order store did not answer.
            TemporalUnavailable: Temporal did not answer.
        """
        with deadline_scope(Deadline(remaining(self._timeout))), order_context(order_id):
            status = await self._orders.recorded(order_id)
            refund = await self._request(status, refund_id, amount, lines, reason)
            handle, started = await self._start(refund)
            decision = await self._decision(handle, order_id)
            if decision is None:
                return RefundAnswer(refund_id, ChangeResult.QUEUED)
            if decision.refused is RefundRefusal.CONFLICT:
                raise RefundIdConflict(refusal_reason(refund, decision))
            if decision.refused is not None:
                raise RefundRejected(refusal_reason(refund, decision))
            replayed = not started or not decision.is_new
            return RefundAnswer(refund_id, ChangeResult.ACCEPTED, await self._view(refund, decision), replayed)

    async def _request(
        self,
        status: OrderStatus,
        refund_id: str,
        amount: Decimal | None,
        lines: Sequence[LineQuantity],
        reason: str,
    ) -> RefundOrder:
        """The input of the refund's workflow.

        Raises:
            InvalidRefund: the amount or the lines are wrong; each problem names its field.
            RefundRejected: the lines of the order are not stored, so they have no value.
            StoreUnavailable: the order store did not answer.
        """
        payment = _payment(status)
        problems: list[str] = []
        wanted: tuple[RefundLine, ...] = ()
        if refund_id == names.ORDER_REFUND:
            problems.append(f"refund_id: {refund_id!r} is the refund of a canceled order; choose another one")
        if amount is not None and lines:
            problems.append("lines: are given beside an amount; give only one of them")
        elif amount is not None:
            problems += amount_problems(amount, payment.currency)
        elif not lines:
            problems.append("amount: is missing; give an amount, or lines")
        else:
            known = await self._lines(payment)
            problems += line_problems(lines, known)
            wanted = tuple(known[each.line].model_copy(update={"qty": each.qty}) for each in lines if not problems)
        if problems:
            raise InvalidRefund(problems)
        return RefundOrder(
            order_id=payment.order_id,
            payment=payment,
            refund_id=refund_id,
            amount=None if amount is None else minor_units(amount, payment.currency),
            lines=wanted,
            reason=reason,
            policy=self._policy,
            order_runs=not status.ended,
        )

    async def _lines(self, payment: PaymentIntent) -> dict[str, RefundLine]:
        terms = await self._payments.order_lines(payment.order_id)
        if terms is None:
            raise RefundRejected(not_charged(payment))
        if not terms.items:
            raise RefundRejected(
                f"the lines of order {payment.order_id!r} were pruned, so their value is not known; refund an amount"
            )
        return order_lines(terms.items, terms.adjustments, payment.currency)

    async def _view(self, refund: RefundOrder, decision: RefundDecision) -> RefundView:
        """The refund as it is now; as it was decided if the order store does not answer."""
        try:
            async with asyncio.timeout(remaining(self._timeout)):
                payment = await self._payments.payment(refund.payment.payment_id)
        except (StoreUnavailable, TimeoutError):
            payment = None
        found = () if payment is None else refund_views(payment)
        decided = RefundView.decided(refund, decision)
        return next((each for each in found if each.refund_id == refund.refund_id), decided)

    async def _start(self, refund: RefundOrder) -> tuple[WorkflowHandle[Any, RefundResult], bool]:
        """Start the refund's workflow, or find the one that runs. A closed one leaves the decision to the order store.

        Returns:
            The workflow, and whether this call started it.

        Raises:
            RefundIdConflict: a refund of something else runs under this id.
            TemporalUnavailable: Temporal did not answer.
        """
        number = 1
        while True:
            workflow_id = names.refund_workflow_id(refund.payment.payment_id, number, refund_id=refund.refund_id)
            if number > NUMBERED:
                workflow_id = f"{workflow_id}/{uuid4()}"
            async with temporal_timeout(refund.order_id, self._timeout):
                try:
                    handle = await self._temporal.start_workflow(
                        names.REFUND_WORKFLOW,
                        refund,
                        id=workflow_id,
                        task_queue=self._task_queue,
                        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                        id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                        memo=refund.memo(),
                        static_summary=f"refund {refund.refund_id} of order {refund.order_id}",
                        result_type=RefundResult,
                    )
                except WorkflowAlreadyStartedError:
                    running = await self._running(refund, workflow_id)
                    if running is not None:
                        return running, False
                    number += 1
                else:
                    run_id = handle.first_execution_run_id
                    return self._temporal.get_workflow_handle(
                        workflow_id, run_id=run_id, result_type=RefundResult
                    ), True

    async def _running(self, refund: RefundOrder, workflow_id: str) -> WorkflowHandle[Any, RefundResult] | None:
        """The running workflow of this refund; None if the id is another workflow's.

        Raises:
            RefundIdConflict: a refund of something else runs under this id.
        """
        found = await self._temporal.get_workflow_handle(workflow_id).describe()
        try:
            memo = await found.memo()
        except Exception:  # noqa: BLE001 - a memo of another origin can be of any encoding
            memo = {}
        own = refund.memo()
        content = own.pop(names.MEMO_CONTENT_HASH)
        if found.workflow_type != names.REFUND_WORKFLOW or any(memo.get(key) != value for key, value in own.items()):
            return None
        if memo.get(names.MEMO_CONTENT_HASH) != content:
            raise RefundIdConflict(conflict_reason(refund.refund_id))
        return self._temporal.get_workflow_handle(workflow_id, run_id=found.run_id, result_type=RefundResult)

    async def _decision(self, handle: WorkflowHandle[Any, RefundResult], order_id: str) -> RefundDecision | None:
        """The decision about the refund; None if no worker made it in time."""
        wait = remaining(ANSWER_TIMEOUT.total_seconds(), reserve=_RESERVE.total_seconds())
        update = asyncio.ensure_future(handle.execute_update(names.REFUND_DECISION, result_type=RefundDecision))
        try:
            # With `await update`, the SDK would turn a cancellation of this task into an error of the update.
            await asyncio.wait({update}, timeout=wait)
            return update.result() if update.done() else None
        except WorkflowUpdateRPCTimeoutOrCancelledError:
            return None
        except (WorkflowUpdateFailedError, RPCError) as error:
            if isinstance(error, RPCError) and not is_workflow_not_found(error):
                # It is started, so it is made; who asks again learns the decision.
                return None
        finally:
            update.cancel()
            await asyncio.gather(update, return_exceptions=True)
        # It has closed, before or while the update arrived.
        async with temporal_timeout(order_id, self._timeout):
            closed = (await handle.describe()).status is WorkflowExecutionStatus.COMPLETED
            return (await handle.result()).decision if closed else None


_RESERVE: Final = timedelta(milliseconds=100)
"""Time of a deadline scope that the wait for a decision leaves, so that the answer is sent in time."""


def _payment(status: OrderStatus) -> PaymentIntent:
    return PaymentIntent(
        payment_id=status.payment.id,
        order_id=status.order_id,
        currency=status.payment.currency,
        amount=minor_units(status.payment.amount, status.payment.currency),
    )
