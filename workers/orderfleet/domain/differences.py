"""Differences between the ledger of money and the payment provider's books: their kinds, what is expected, remedies.

A difference is repaired only by facts, which the ledger always takes, or by a void, which the provider can repeat. It
must never be repaired by a call that moves money in another way.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from pydantic import computed_field

from orderfleet.domain.base import Contract
from orderfleet.domain.ledger import PaymentDetail, PaymentEntry
from orderfleet.domain.payment import MinorUnits


class DifferenceKind(StrEnum):
    """How the ledger and the provider's books differ about a payment."""

    CAPTURE_NOT_IN_LEDGER = "capture_not_in_ledger"
    """Also where the ledger has the payment failed or voided."""
    CAPTURE_NOT_AT_PROVIDER = "capture_not_at_provider"
    AMOUNT = "amount"
    CURRENCY = "currency"
    REFUND_NOT_IN_LEDGER = "refund_not_in_ledger"
    """Such as a refund in the provider's dashboard."""
    REFUND_NOT_AT_PROVIDER = "refund_not_at_provider"
    REFUND_FAILED = "refund_failed"
    """The provider accepted a refund and could not pay it out."""
    REFUND_FAILURE_NOT_AT_PROVIDER = "refund_failure_not_at_provider"
    CHARGE_BACK_NOT_IN_LEDGER = "charge_back_not_in_ledger"
    CHARGE_BACK_NOT_AT_PROVIDER = "charge_back_not_at_provider"
    CHARGE_BACK_REVERSAL_NOT_IN_LEDGER = "charge_back_reversal_not_in_ledger"
    CHARGE_BACK_REVERSAL_NOT_AT_PROVIDER = "charge_back_reversal_not_at_provider"
    AUTHORIZATION_NOT_IN_LEDGER = "authorization_not_in_ledger"
    AUTHORIZATION_NOT_RELEASED = "authorization_not_released"
    """Open or pending at the provider, while the ledger has it refused, released or voided."""
    AUTHORIZATION_ENDED = "authorization_ended"
    """Lapsed or released at the provider, while the ledger has it open."""
    PAYMENT_NOT_IN_LEDGER = "payment_not_in_ledger"
    CHARGED_TWICE = "charged_twice"
    ORDER_ID = "order_id"


@dataclass(frozen=True)
class _Texts:
    expected: str
    repaired: str
    """What a reconciliation does where it is safe."""
    remedy: str
    """What a person does otherwise."""


_REFUND_THERE: Final = "Return the money in the provider's dashboard"

_TEXTS: Final = {
    DifferenceKind.CAPTURE_NOT_IN_LEDGER: _Texts(
        "The ledger has each capture of the provider.",
        "The capture is recorded, and returned if the payment was undone before.",
        "Compare the capture with the order and record or return it.",
    ),
    DifferenceKind.CAPTURE_NOT_AT_PROVIDER: _Texts(
        "The provider has each capture of the ledger.",
        "",
        "Check that the provider's account is the one that charged, then ask the provider for the capture.",
    ),
    DifferenceKind.AMOUNT: _Texts(
        "Both have the same amount.",
        "",
        "Find out which amount the customer agreed to, then refund what is too much.",
    ),
    DifferenceKind.CURRENCY: _Texts(
        "Both have the same currency.",
        "",
        f"{_REFUND_THERE} and charge the order in its own currency.",
    ),
    DifferenceKind.REFUND_NOT_IN_LEDGER: _Texts(
        "The ledger has each refund of the provider.",
        "The refund is recorded.",
        "Record the refund.",
    ),
    DifferenceKind.REFUND_NOT_AT_PROVIDER: _Texts(
        "The provider has each refund of the ledger.",
        "",
        "Ask the provider for the refund; if the customer did not get it, make it in the provider's dashboard.",
    ),
    DifferenceKind.REFUND_FAILED: _Texts(
        "The ledger has a refund that failed at the provider as reversed.",
        "The reversal is recorded, so the amount can be refunded again.",
        "Record the reversal.",
    ),
    DifferenceKind.REFUND_FAILURE_NOT_AT_PROVIDER: _Texts(
        "The provider has each refund as failed that the ledger has as reversed.",
        "",
        "Ask the provider whether the customer got the refund; if so, refund its amount no second time.",
    ),
    DifferenceKind.CHARGE_BACK_NOT_IN_LEDGER: _Texts(
        "The ledger has each charge-back of the provider.",
        "The charge-back is recorded.",
        "Record the charge-back.",
    ),
    DifferenceKind.CHARGE_BACK_NOT_AT_PROVIDER: _Texts(
        "The provider has each charge-back of the ledger.",
        "",
        "Ask the provider for the charge-back; until its end, the ledger has its amount as withdrawn.",
    ),
    DifferenceKind.CHARGE_BACK_REVERSAL_NOT_IN_LEDGER: _Texts(
        "The ledger has each reversed charge-back of the provider.",
        "The reversal is recorded.",
        "Record the reversal.",
    ),
    DifferenceKind.CHARGE_BACK_REVERSAL_NOT_AT_PROVIDER: _Texts(
        "The provider has each reversed charge-back of the ledger.",
        "",
        "Ask the provider whether it returned the money of the dispute; if not, refund nothing of it.",
    ),
    DifferenceKind.AUTHORIZATION_NOT_IN_LEDGER: _Texts(
        "The ledger has each authorization of the provider.",
        "The authorization is recorded.",
        "Record the authorization.",
    ),
    DifferenceKind.AUTHORIZATION_NOT_RELEASED: _Texts(
        "The provider has released what the ledger has as refused, released or voided.",
        "The authorization is voided again.",
        "Release the rest of the authorization in the provider's dashboard; a void would refund what was captured.",
    ),
    DifferenceKind.AUTHORIZATION_ENDED: _Texts(
        "The provider holds what the ledger has as authorized.",
        "The release is recorded; the next capture authorizes again.",
        "Check that the provider's account is the one that authorized, then retry the payment of the order.",
    ),
    DifferenceKind.PAYMENT_NOT_IN_LEDGER: _Texts(
        "The ledger has each payment that the provider has under our ids.",
        "",
        f"Find the order by its id; without one, as after a restored backup, {_REFUND_THERE.lower()}.",
    ),
    DifferenceKind.CHARGED_TWICE: _Texts(
        "The provider has one charge of the payment.",
        "",
        f"{_REFUND_THERE}: that of the charge with this reference, which is not the ledger's.",
    ),
    DifferenceKind.ORDER_ID: _Texts(
        "Both have the payment under the same order.",
        "",
        "Find out which order the customer paid for, then correct the order id in the provider's dashboard.",
    ),
}


DifferenceId = tuple[str, str, str]
"""Payment id, kind and key, which identify a difference."""


class Difference(Contract):
    """One difference between the ledger and the provider's books about a payment."""

    kind: DifferenceKind
    payment_id: str
    order_id: str
    key: str
    """Identifies it among those of its kind in the payment: our key or the provider's reference of what differs."""
    number: int = 1
    """Number of the authorization."""
    currency: str
    ledger_amount: MinorUnits | None = None
    """None if the ledger has nothing of it."""
    provider_amount: MinorUnits | None = None
    """None if the provider has nothing of it."""
    reference: str | None = None
    """The provider's id of the charge or the authorization."""
    since: datetime
    """When it began, as far as the books say."""
    facts: tuple[PaymentEntry, ...] = ()
    """What the ledger has to record."""
    voids: bool = False
    """Whether the provider has to void the charge or the authorization again."""

    @property
    def identity(self) -> DifferenceId:
        """What identifies it, also in a later reconciliation."""
        return self.payment_id, self.kind, self.key

    @property
    def safe(self) -> bool:
        """Whether a reconciliation repairs it."""
        return bool(self.facts) or self.voids

    @property
    def expected(self) -> str:
        """What is expected of both books, in one sentence."""
        return _TEXTS[self.kind].expected

    @property
    def remedy(self) -> str:
        """What a reconciliation does, or a person has to do, in one sentence."""
        return remedy(self.kind, safe=self.safe)


class RecordedDifference(Contract):
    """A difference as the order store has it."""

    payment_id: str
    kind: DifferenceKind
    key: str
    order_id: str
    number: int
    currency: str
    ledger_amount: MinorUnits | None
    provider_amount: MinorUnits | None
    reference: str | None
    safe: bool
    first_seen_at: datetime
    last_seen_at: datetime
    repaired_at: datetime | None = None
    resolved_at: datetime | None = None
    """When a reconciliation no longer found it; None while it is open."""

    @property
    def identity(self) -> DifferenceId:
        """What identifies it, also in a later reconciliation."""
        return self.payment_id, self.kind, self.key

    @computed_field  # type: ignore[prop-decorator]  # mypy has no decorated properties
    @property
    def expected(self) -> str:
        """What is expected of both books, in one sentence."""
        return _TEXTS[self.kind].expected

    @computed_field  # type: ignore[prop-decorator]
    @property
    def remedy(self) -> str:
        """What a reconciliation does, or a person has to do, in one sentence."""
        return remedy(self.kind, safe=self.safe)


def remedy(kind: DifferenceKind, *, safe: bool) -> str:
    """What a reconciliation does about a difference that is safe, or a person has to do, in one sentence."""
    texts = _TEXTS[kind]
    return texts.repaired if safe and texts.repaired else texts.remedy


class DifferenceStore(Protocol):
    """The ledger as a reconciliation reads it, and the differences from the payment provider's books.

    Raises `StoreUnavailable` if Postgres is unavailable or too slow.
    """

    async def slice_end(self, since: datetime, longest: datetime) -> datetime:
        """End of the part of a window that begins at `since`: at most `longest`, with a bounded number of entries."""

    async def active_payments(self, since: datetime, until: datetime, after: str, limit: int) -> list[str]:
        """One page of the ids of the payments with entries that were recorded in a range of time.

        Args:
            since: begin of the range.
            until: its end, which is not in it.
            after: payment id that the page begins after.
            limit: payments of the page.
        """

    async def payments(self, payment_ids: Collection[str]) -> list[PaymentDetail]:
        """Those of the payments that the ledger has, in full."""

    async def record_differences(self, found: Sequence[Difference], repaired: Collection[DifferenceId]) -> None:
        """Record differences as seen now, and those that are repaired as resolved."""

    async def open_differences(self, seen_before: datetime, after: str, limit: int) -> list[RecordedDifference]:
        """One page of the open differences, sorted by payment id.

        Args:
            seen_before: those that a reconciliation has seen since are left out.
            after: payment id that the page begins after.
            limit: differences of the page.
        """

    async def resolve(self, difference: DifferenceId) -> None:
        """Record that a difference is gone."""

    async def complete(self) -> int:
        """Record that a reconciliation was completed; how many open differences are left for a person."""

    async def differences(self, *, resolved: bool = False, limit: int = 100) -> list[RecordedDifference]:
        """The open differences, the latest first, then those that are resolved if asked for, at most `limit`."""
