"""The ledger of money in Postgres, as activities and webhooks write it. Implements `PaymentStore`.

Each call is one statement, so one round trip and one transaction. The functions of migrations 0006 to 0008 decide,
under the lock of the payment's row; nothing here must decide on what it has read before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import asyncpg

from orderfleet.domain.base import Contract
from orderfleet.domain.errors import PaymentConflict, StoreRejected
from orderfleet.domain.events import AuditEvent, Progress
from orderfleet.domain.ledger import (
    AuthorizationDecision,
    CaptureDecision,
    FencedPayment,
    IntentStatus,
    PaymentEntry,
    PaymentRecord,
    ReferencedPayment,
    RefundDecision,
    RefundLine,
    RefundRequest,
)
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import (
    Capture,
    CaptureIntent,
    Charge,
    PaymentIntent,
    Refund,
    RefundIntent,
    VoidOutcome,
)
from orderfleet.domain.status import PaymentStatus, PendingCustomer
from orderfleet.observability import order_metrics
from orderfleet.store.encoding import as_json, as_text, events_only, events_without_texts, without_texts
from orderfleet.store.pool import Database, statement


class _Finish(Contract):
    """What `finish_payment` and `fence_payment` of the database are given."""

    number: int
    amount: int
    currency: str
    method: str
    capture: CaptureMode
    status: PaymentStatus | None = None
    outcome: VoidOutcome | None = None
    reference: str | None = None
    expires_at: datetime | None = None
    multiple_captures: bool = False
    pending: PendingCustomer | None = None


class _Asked(Contract):
    """What a refund is asked for, which the same id must ask for again."""

    amount: int | None
    lines: tuple[RefundLine, ...] | None


class PaymentWrites:
    """`PaymentStore` over Postgres.

    A progress or an event that Postgres rejects is written again with the reason in place of its texts.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin_payment(
        self,
        payment: PaymentIntent,
        progress: Progress | None = None,
        *,
        capture: CaptureMode = CaptureMode.IMMEDIATE,
    ) -> PaymentRecord:
        """Insert the payment as INIT unless it exists, apply `progress` if given, return the row.

        Raises:
            PaymentConflict: the payment id belongs to another order; nothing was applied.
            StoreUnavailable: Postgres is unavailable or too slow.
        """
        rows = await self._with_progress(
            progress or (),
            lambda payload: self._database.fetch(
                statement("begin_payment"),
                payment.payment_id,
                payment.order_id,
                payment.amount,
                as_text(payment.currency),
                payload,
                capture,
                as_text(payment.method),
            ),
        )
        if not rows:
            raise payment_conflict(payment.payment_id, payment.order_id)
        return PaymentRecord(**rows[0])

    async def finish_payment(
        self,
        payment: PaymentIntent,
        status: PaymentStatus,
        answer: Charge | None = None,
        *,
        capture: CaptureMode = CaptureMode.IMMEDIATE,
        outcome: VoidOutcome | None = None,
        progress: Progress | None = None,
        events: Sequence[AuditEvent] = (),
    ) -> PaymentRecord:
        """Record the end of a charge or an authorization, or its void, and apply `progress` or insert `events`.

        A payment that does not exist yet is inserted: a void can come before the charge.

        Args:
            payment: the charge or the authorization.
            status: CHARGED, AUTHORIZED, PENDING, FAILED or VOIDED.
            answer: of the provider; an `Authorization` for AUTHORIZED.
            capture: of a payment that is inserted.
            outcome: what a void found.
            progress: of the order.
            events: without progress.

        Returns:
            The payment after the call.

        Raises:
            PaymentConflict: the payment id belongs to another order; nothing was applied.
            StoreUnavailable: Postgres is unavailable or too slow.
        """
        given = as_json(
            _Finish(
                **dict(payment) | ({} if answer is None else dict(answer)),
                capture=capture,
                status=status,
                outcome=outcome,
            )
        )
        found = await self._record(progress or events, "finish_payment", payment.payment_id, payment.order_id, given)
        if found is None:
            raise payment_conflict(payment.payment_id, payment.order_id)
        return found

    async def set_reference(self, payment: PaymentIntent, reference: str) -> str:
        """Store the provider's id of a charge or an authorization, unless there is one; return the stored one."""
        rows = await self._database.fetch(
            statement("set_payment_reference"), payment.payment_id, payment.number, as_text(reference)
        )
        return str(rows[0]["reference"])

    async def fence_payment(
        self, payment: PaymentIntent, *, capture: CaptureMode = CaptureMode.IMMEDIATE
    ) -> FencedPayment:
        """Begin the undo of a payment: nothing new begins any more; return what is to be voided.

        Raises:
            PaymentConflict: the payment id belongs to another order; nothing was applied.
            StoreUnavailable: Postgres is unavailable or too slow.
        """
        given = as_json(_Finish(**dict(payment), capture=capture))
        found = await self._decide("fence_payment", payment.payment_id, payment.order_id, given)
        if found is None:
            raise payment_conflict(payment.payment_id, payment.order_id)
        return FencedPayment.model_validate_json(found)

    async def begin_capture(
        self, payment_id: str, order_id: str, amount: int | None = None, method: str = ""
    ) -> CaptureDecision:
        """Store the intent of a capture of an amount, or of everything that is not captured, if its guard allows it."""
        return CaptureDecision.model_validate_json(
            await self._decide("begin_capture", payment_id, order_id, amount, as_text(method)) or ""
        )

    async def finish_capture(
        self,
        capture: CaptureIntent,
        answer: Capture | None,
        *,
        error: str = "",
        lapsed: bool = False,
        events: Sequence[AuditEvent] = (),
    ) -> PaymentRecord:
        """Record the provider's answer to a capture: made, refused with an error, or lapsed with its authorization."""
        payment = capture.payment
        return await self._recorded(
            events,
            "finish_capture",
            payment.payment_id,
            payment.order_id,
            capture.key,
            None if answer is None else as_text(answer.reference),
            None if answer else as_text(error or "refused"),
            lapsed,
        )

    async def begin_authorization(
        self, payment_id: str, order_id: str, method: str | None = None
    ) -> AuthorizationDecision:
        """Store the intent of another authorization of what is not captured, if none holds."""
        found = await self._decide("begin_authorization", payment_id, order_id, as_text(method))
        return AuthorizationDecision.model_validate_json(found or "")

    async def begin_refund(
        self,
        payment_id: str,
        order_id: str,
        refund: RefundRequest,
        *,
        undo: bool = False,
        events: Sequence[AuditEvent] = (),
    ) -> RefundDecision:
        """Store the intent of a refund under its guard, choose its pieces, insert events if it is accepted."""
        asked = as_json(_Asked(amount=refund.amount, lines=refund.lines or None))

        texts = (refund.refund_id, asked, as_text(refund.reason), undo)
        rows = await self._with_progress(
            events,
            lambda payload: self._database.fetch(statement("begin_refund"), payment_id, order_id, *texts, payload),
        )
        decision = RefundDecision.model_validate_json(rows[0]["answer"])
        if decision.refused is not None:
            order_metrics.count_refund("refused")
        elif decision.is_new and decision.parts:
            order_metrics.count_refund("pending")
        return decision

    async def finish_refund(
        self, refund: RefundIntent, answer: Refund | None, *, error: str = "", events: Sequence[AuditEvent] = ()
    ) -> PaymentRecord:
        """Record the provider's answer to a part of a refund: made, or refused with an error."""
        payment = refund.payment
        return await self._recorded(
            events,
            "finish_refund",
            payment.payment_id,
            payment.order_id,
            refund.key,
            None if answer is None else as_text(answer.reference),
            None if answer else as_text(error or "refused"),
        )

    async def record_fact(
        self, payment_id: str, entry: PaymentEntry, events: Sequence[AuditEvent] = ()
    ) -> PaymentRecord | None:
        """Record what the provider or a reconciliation reported; None if there is no such payment."""
        return await self._record(events, "record_payment_fact", payment_id, as_json(entry))

    async def referenced(self, reference: str) -> ReferencedPayment | None:
        """The charge or authorization that a provider's id was stored for; None if there is none."""
        rows = await self._database.fetch(statement("referenced_payment"), as_text(reference))
        return ReferencedPayment(**rows[0]) if rows else None

    async def _decide(self, name: str, *args: object) -> str | None:
        """The answer of a function as JSON."""
        rows = await self._database.fetch(statement(name), *args)
        answer = rows[0]["answer"]
        return None if answer is None else str(answer)

    async def _record(
        self, progress: Progress | Sequence[AuditEvent], name: str, *args: object
    ) -> PaymentRecord | None:
        """The payment that a function returns whose last argument is a progress; counts what the call ended."""
        rows = await self._with_progress(
            progress, lambda payload: self._database.fetch(statement(name), *args, payload)
        )
        answer = rows[0]["answer"]
        if answer is None:
            return None
        found = _Recorded.model_validate_json(answer)
        if found.decided:
            order_metrics.count_payment(found.status)
        if found.refund is not None:
            order_metrics.count_refund("done" if found.refund is IntentStatus.DONE else "failed")
        return PaymentRecord(**dict(found))

    async def _recorded(
        self, progress: Progress | Sequence[AuditEvent], name: str, payment_id: str, order_id: str, *args: object
    ) -> PaymentRecord:
        found = await self._record(progress, name, payment_id, order_id, *args)
        if found is None:
            raise payment_conflict(payment_id, order_id)
        return found

    async def _with_progress(
        self, progress: Progress | Sequence[AuditEvent], write: Callable[[str], Awaitable[list[asyncpg.Record]]]
    ) -> list[asyncpg.Record]:
        """Write a progress, or events alone, as JSON.

        If Postgres rejects the values, they are written again with the reason in place of the texts.
        """
        try:
            return await write(_payload(progress))
        except StoreRejected as error:
            if isinstance(progress, Progress):
                return await write(_payload(without_texts(progress, str(error))))
            if not progress:
                raise
            return await write(_payload(events_without_texts(progress, str(error))))


class _Recorded(PaymentRecord):
    decided: bool
    """Whether the call gave the charge or the authorization another result."""
    refund: IntentStatus | None
    """How the call ended a refund; None if it ended none."""


def _payload(progress: Progress | Sequence[AuditEvent]) -> str:
    return as_json(progress) if isinstance(progress, Progress) else events_only(progress)


def payment_conflict(payment_id: str, order_id: str) -> PaymentConflict:
    """The error for a payment id of another order."""
    return PaymentConflict(f"payment id {payment_id!r} belongs to another order than {order_id!r}; choose another one")
