"""Protocols of the payments of the order store: what activities write and what readers see.

An implementation must raise the errors of `domain.errors` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from orderfleet.domain.base import Contract
from orderfleet.domain.events import AuditEvent, Progress
from orderfleet.domain.ledger import (
    AuthorizationDecision,
    CaptureDecision,
    FencedPayment,
    PaymentDetail,
    PaymentEntry,
    PaymentRecord,
    ReferencedPayment,
    RefundDecision,
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
from orderfleet.domain.status import Cursor, PaymentStatus


class PaymentStore(Protocol):
    """The ledger of money as activities and webhooks write it; one round trip per call, and each can be repeated.

    Raises `StoreUnavailable` if Postgres is unavailable or too slow, `StoreRejected` for values that it rejects.
    """

    async def begin_payment(
        self,
        payment: PaymentIntent,
        progress: Progress | None = None,
        *,
        capture: CaptureMode = CaptureMode.IMMEDIATE,
        step: int = 1,
    ) -> PaymentRecord:
        """Insert the payment as INIT unless it exists, apply `progress` if it is set, return the row.

        Args:
            payment: the charge or the authorization.
            progress: of the order.
            capture: when the money is taken.
            step: every capture and refund of the payment is a multiple of it, in minor units.

        Raises:
            PaymentConflict: the payment id belongs to another order.
        """

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
        """Record the end of a charge or an authorization, or its void, and record progress or events.

        Money that moved is recorded in any case; a refusal or a pending answer only while the outcome is open. For a
        renewal, which `begin_authorization` began, it is the same call with its number.

        Args:
            payment: the charge or the authorization; inserted if it does not exist.
            status: CHARGED, AUTHORIZED, PENDING, FAILED or VOIDED.
            answer: of the provider, an `Authorization` for AUTHORIZED.
            capture: of a payment that is inserted.
            outcome: what a void found.
            progress: progress of the order to apply with it.
            events: events to add without progress.

        Returns:
            The payment afterwards.

        Raises:
            PaymentConflict: the payment id belongs to another order.
        """

    async def set_reference(self, payment: PaymentIntent, reference: str) -> str:
        """Store the provider's id of a charge or an authorization before it moves money.

        Returns:
            The stored id, which is an earlier attempt's if that stored one.
        """

    async def fence_payment(
        self, payment: PaymentIntent, *, capture: CaptureMode = CaptureMode.IMMEDIATE
    ) -> FencedPayment:
        """Begin the undo of a payment: no capture, authorization or refund begins any more.

        Args:
            payment: inserted if it does not exist, since a void can come before the charge.
            capture: of a payment that is inserted.

        Returns:
            The charges and authorizations to void.

        Raises:
            PaymentConflict: the payment id belongs to another order.
        """

    async def begin_capture(
        self, payment_id: str, order_id: str, amount: int | None = None, method: str = ""
    ) -> CaptureDecision:
        """Store the intent of a capture if the authorization and the order's total leave its amount.

        Args:
            payment_id: the payment.
            order_id: its order.
            amount: None for everything that is not captured.
            method: means of payment of the authorization; empty for any.
        """

    async def finish_capture(
        self,
        capture: CaptureIntent,
        answer: Capture | None,
        *,
        error: str = "",
        lapsed: bool = False,
        events: Sequence[AuditEvent] = (),
    ) -> PaymentRecord:
        """Record the provider's answer to a capture.

        Args:
            capture: of the decision.
            answer: the capture that was made; None if it was refused.
            error: why it was refused.
            lapsed: whether it was refused because the authorization has lapsed, which closes that.
            events: events to add.
        """

    async def begin_authorization(
        self, payment_id: str, order_id: str, method: str | None = None
    ) -> AuthorizationDecision:
        """Store the intent of another authorization of what is not captured. `finish_payment` records its end.

        Args:
            payment_id: the payment.
            order_id: its order.
            method: another means of payment; empty for the payment's own.
        """

    async def begin_refund(
        self,
        payment_id: str,
        order_id: str,
        refund: RefundRequest,
        *,
        undo: bool = False,
        events: Sequence[AuditEvent] = (),
    ) -> RefundDecision:
        """Store the intent of a refund if that much is left, choose its pieces, and add events if it is accepted.

        Args:
            payment_id: the payment.
            order_id: its order.
            refund: the same id with the same content is answered again.
            undo: whether the order is undone: the payment is fenced, and all that can be refunded is.
            events: events to add.
        """

    async def finish_refund(
        self, refund: RefundIntent, answer: Refund | None, *, error: str = "", events: Sequence[AuditEvent] = ()
    ) -> PaymentRecord:
        """Record the provider's answer to a part of a refund.

        Args:
            refund: of the decision.
            answer: the refund that was made; None if it was refused, so its amount can be refunded again.
            error: why it was refused.
            events: events to add.
        """

    async def record_fact(
        self, payment_id: str, entry: PaymentEntry, events: Sequence[AuditEvent] = ()
    ) -> PaymentRecord | None:
        """Record what the provider or a reconciliation reported, which is never refused.

        Args:
            payment_id: the payment.
            entry: a repeated one changes nothing.
            events: events to add.

        Returns:
            The payment, which is new if the entry was; None if there is no such payment.
        """

    async def referenced(self, reference: str) -> ReferencedPayment | None:
        """The charge or authorization that `set_reference` has stored a provider's id for; None if there is none."""


class PaymentFilter(Contract):
    """Which payments to list; a field that is None does not filter."""

    status: PaymentStatus | None = None
    currency: str | None = None
    created_from: datetime | None = None
    """Lists payments of orders that started at this time or later."""
    created_before: datetime | None = None
    """Lists payments of orders that started before this time."""


class PaymentReader(Protocol):
    """The ledger as readers see it. Raises `StoreUnavailable` if Postgres is unavailable or too slow."""

    async def payment(self, payment_id: str) -> PaymentDetail | None:
        """A payment with all entries and intents, or None."""

    async def payments_of_order(self, order_id: str) -> list[PaymentDetail]:
        """The payments of an order, oldest first."""

    async def payments_page(
        self, wanted: PaymentFilter, *, after: Cursor | None = None, limit: int = 50
    ) -> tuple[list[PaymentDetail], Cursor | None]:
        """One page of the payments that match a filter, newest order first.

        Args:
            wanted: the filter.
            after: position of the page, of orders; None for the first.
            limit: payments of the page at most.

        Returns:
            The payments, and the position of the next page; None on the last one.
        """
