"""The ledger of money: its entries, what its guards decide, and a payment in full.

Amounts are integers in minor units of the payment's currency. Guards refuse intents; an entry is a fact and is never
refused.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import Field

from orderfleet.domain.base import Contract, ExternalName, Int64
from orderfleet.domain.money import LineId
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import (
    CaptureIntent,
    MinorUnits,
    Movement,
    MovementKind,
    PaymentIntent,
    RefundIntent,
)
from orderfleet.domain.status import PaymentStatus, PendingCustomer


class EntryKind(StrEnum):
    """Kinds of entries: how money moved, or was reserved and released."""

    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    RELEASED = "released"
    """The provider released what a capture left, or an authorization that lapsed."""
    VOIDED = "voided"
    """We released an authorization, or closed a charge that never took money."""
    REFUNDED = "refunded"
    REFUND_REVERSED = "refund_reversed"
    """A refund that the provider accepted and could not pay out."""
    CHARGED_BACK = "charged_back"
    CHARGE_BACK_REVERSED = "charge_back_reversed"


class EntrySource(StrEnum):
    """Who reported an entry."""

    ORDER = "order"
    """The answer to a call of an order or a refund."""
    WEBHOOK = "webhook"
    RECONCILIATION = "reconciliation"


_ENTRY_OF: Final = {
    MovementKind.CAPTURED: EntryKind.CAPTURED,
    MovementKind.REFUNDED: EntryKind.REFUNDED,
    MovementKind.REFUND_FAILED: EntryKind.REFUND_REVERSED,
    MovementKind.CHARGED_BACK: EntryKind.CHARGED_BACK,
    MovementKind.CHARGE_BACK_REVERSED: EntryKind.CHARGE_BACK_REVERSED,
}


class PaymentEntry(Contract):
    """One entry. Kind and key together are unique in a payment, so an entry that is recorded again is the same."""

    kind: EntryKind
    key: str
    """The idempotency key of the call; for what we did not ask for, the provider's id of it. A reversal has the key of
    what it reverses, and the refund that a void makes the `void_key` of its charge or authorization."""
    number: int = Field(default=1, ge=1)
    """Number of the authorization."""
    amount: MinorUnits
    currency: str
    source: EntrySource
    reference: ExternalName | None = None
    """The provider's id."""
    at: datetime
    """When the money moved."""
    counts: bool = True
    """False if another entry has its kind and key with another amount, or if its currency is not the payment's."""
    recorded_at: datetime | None = None
    """None before it is recorded."""

    @classmethod
    def of(cls, movement: Movement, number: int, currency: str, source: EntrySource) -> PaymentEntry:
        """The entry of a movement in the provider's books.

        Args:
            movement: the movement; without a key of ours, its reference is the key.
            number: of the authorization.
            currency: of the amount.
            source: who reported it.
        """
        return cls(
            **dict(movement) | {"kind": _ENTRY_OF[movement.kind], "key": movement.key or movement.reference},
            number=number,
            currency=currency,
            source=source,
        )


class PaymentAmounts(Contract):
    """The amounts of a payment."""

    authorized: Int64 = 0
    """Authorized or captured, without what was released."""
    captured: MinorUnits = 0
    refunded: Int64 = 0


class PaymentRecord(Contract):
    """A payment's row, as an activity needs it."""

    payment_id: str
    order_id: str
    status: PaymentStatus
    reference: str | None = None
    """The provider's id of the first charge or authorization."""
    is_new: bool = False
    """Whether the call inserted the row or the entry. If so, no earlier attempt has called the provider."""
    fenced: bool = False
    """Whether the payment is being undone or was: nothing new may begin."""
    amounts: PaymentAmounts = PaymentAmounts()
    version: int = 0
    """Of the order. Each change of the payment raises it, so of two rows the one with the higher version is later."""


RETURNS: Final = frozenset(_ENTRY_OF.values()) - {EntryKind.CAPTURED}
"""Entries of captured money that goes back, or comes again."""


class ReferencedPayment(Contract):
    """The charge or authorization with a provider's id."""

    payment_id: str
    number: int
    order_id: str


class FencedPayment(Contract):
    """A payment that is being undone."""

    payment: PaymentRecord
    open: tuple[PaymentIntent, ...] = ()
    """Charges and authorizations that may hold or take money. Each is to be voided."""
    refundable: MinorUnits = 0


class CaptureRefusal(StrEnum):
    """Why a capture or a further authorization does not begin."""

    UNKNOWN_PAYMENT = "unknown_payment"
    """The order has no such payment."""
    FENCED = "fenced"
    """The payment is being undone."""
    CONFLICT = "conflict"
    """A capture of another amount is open."""
    TOO_MUCH = "too_much"
    """More than the authorization or the order's total leaves."""
    NOT_AUTHORIZED = "not_authorized"
    """No authorization holds: begin another one."""
    LAPSED = "lapsed"
    """The authorization has lapsed: begin another one."""
    OTHER_METHOD = "other_method"
    """The authorization is of another means of payment: void it, and begin another one."""
    AUTHORIZED = "authorized"
    """Only for an authorization: another one holds, or its outcome is not known."""
    CAPTURED = "captured"
    """Only for an authorization: nothing is left to capture."""


class CaptureDecision(Contract):
    """Whether a capture may be asked of the provider."""

    refused: CaptureRefusal | None = None
    captured: bool = False
    """Whether everything is captured already, so that there is nothing to do."""
    capture: CaptureIntent | None = None
    """What to ask for; None if it is captured or refused. The same one again until its end is recorded."""
    authorization: PaymentIntent | None = None
    """The authorization that the decision is about."""
    expires_at: datetime | None = None
    """When that authorization lapses; None if it does not."""
    idle: float | None = None
    """Seconds since an earlier attempt began to ask for the capture; None if this one is the first."""
    payment: PaymentRecord | None = None
    """None if the payment is unknown."""


class AuthorizationDecision(Contract):
    """Whether another authorization may be asked of the provider."""

    refused: CaptureRefusal | None = None
    authorization: PaymentIntent | None = None
    """What to ask for. The same one again until its end is recorded."""
    is_new: bool = False
    """Whether no earlier attempt can have asked for it."""
    payment: PaymentRecord | None = None


class RefundLine(Contract):
    """Pieces of one line to refund."""

    line: LineId
    qty: int = Field(ge=1)
    """How many."""
    pieces: int = Field(ge=1)
    """Of the whole line."""
    amount: MinorUnits
    """Of the whole line with its adjustments; a multiple of `step`."""
    step: int = Field(default=1, ge=1)
    """The value of every part is a multiple of it."""


class Pieces(Contract):
    """A range of the pieces of a line, which are numbered from 0."""

    line: LineId
    start: int
    end: int
    """After the last one."""


class RefundRequest(Contract):
    """What a refund is asked for: an amount, or lines; with neither, everything that can be refunded."""

    refund_id: str = Field(min_length=1, max_length=64)
    amount: MinorUnits | None = None
    lines: tuple[RefundLine, ...] = ()
    reason: str = ""


class RefundRefusal(StrEnum):
    """Why a refund does not begin."""

    UNKNOWN_PAYMENT = "unknown_payment"
    """The order has no such payment, or its charge has not begun."""
    FENCED = "fenced"
    """The order is being undone, which returns everything."""
    CONFLICT = "conflict"
    """The refund id was used for another amount or other lines."""
    PIECES = "pieces"
    """Fewer pieces of a line can be refunded."""
    TOO_MUCH = "too_much"
    """More than can be refunded; also any lines when nothing can."""


class IntentStatus(StrEnum):
    """Whether the provider has answered a capture or a refund."""

    OPEN = "open"
    DONE = "done"
    REFUSED = "refused"


class RefundDecision(Contract):
    """Whether a refund was accepted, and what it pays."""

    refused: RefundRefusal | None = None
    line: str = ""
    """The line with too few pieces, if that is why."""
    refundable: MinorUnits = 0
    """What can be refunded beside it."""
    amount: MinorUnits = 0
    """What it pays, which is fixed."""
    shortfall: MinorUnits = 0
    """By how much its pieces are worth more."""
    lines: tuple[Pieces, ...] = ()
    """Its pieces; none for a refund of an amount."""
    status: IntentStatus = IntentStatus.OPEN
    parts: tuple[RefundIntent, ...] = ()
    """What to ask of the provider: the parts without an answer."""
    is_new: bool = False
    """Whether this call stored the intent."""
    payment: PaymentRecord | None = None


class AuthorizationView(Contract):
    """An authorization of a payment."""

    number: int
    amount: MinorUnits
    method: str = ""
    reference: str | None = None
    expires_at: datetime | None = None
    multiple_captures: bool = False
    state: str
    """`open`, `authorized`, `refused` or `closed`."""
    created_at: datetime


class IntentView(Contract):
    """A capture or a refund that was asked of the provider."""

    key: str
    kind: str
    """`capture` or `refund`."""
    number: int
    amount: MinorUnits
    status: IntentStatus
    refund_id: str | None = None
    lines: tuple[Pieces, ...] = ()
    shortfall: MinorUnits = 0
    reason: str = ""
    error: str | None = None
    """Why the provider refused it."""
    created_at: datetime
    ended_at: datetime | None = None


class PaymentDetail(Contract):
    """A payment with everything that the ledger has of it."""

    payment_id: str
    order_id: str
    status: PaymentStatus
    capture: CaptureMode
    method: str = ""
    currency: str
    amount: MinorUnits
    authorized: Int64
    """Authorized or captured, without what was released."""
    captured: MinorUnits
    refunded: Int64
    charged_back: Int64
    open_refunds: MinorUnits
    """Sum of the refunds that the provider has not answered."""
    refundable: MinorUnits
    reference: str | None = None
    pending: PendingCustomer | None = None
    fenced_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    """Of the last change of its status."""
    ordered_at: datetime
    """When the order was created, by which lists are sorted."""
    authorizations: tuple[AuthorizationView, ...] = ()
    entries: tuple[PaymentEntry, ...] = ()
    intents: tuple[IntentView, ...] = ()


class PaymentFilter(Contract):
    """Which payments to list; a field that is None does not filter."""

    status: PaymentStatus | None = None
    currency: str | None = None
    created_from: datetime | None = None
    """Lists payments of orders that started at this time or later."""
    created_before: datetime | None = None
    """Lists payments of orders that started before this time."""
