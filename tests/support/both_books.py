"""A payment in the ledger and at the provider, built by the same steps; a step can be left out of one of the books."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from orderfleet.domain.ledger import EntryKind, EntrySource, PaymentDetail, PaymentEntry
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import Movement, MovementKind, ProviderPayment, ProviderStatus
from orderfleet.domain.status import PaymentStatus

START: Final = datetime(2026, 11, 1, 9, tzinfo=UTC)
CHARGE: Final = "ch_1"

_MOVEMENTS = {EntryKind.REFUND_REVERSED: MovementKind.REFUND_FAILED}
_RETURNS = {EntryKind.REFUNDED: 1, EntryKind.REFUND_REVERSED: -1, EntryKind.CHARGED_BACK: 1}


@dataclass
class BothBooks:
    """One payment with one charge or authorization."""

    amount: int
    capture: CaptureMode = CaptureMode.IMMEDIATE
    payment_id: str = "pay-1"
    ledger_status: PaymentStatus | None = None
    """None derives it."""
    provider_status: ProviderStatus | None = None
    fenced: bool = False
    reference: str | None = CHARGE
    entries: list[PaymentEntry] = field(default_factory=list)
    movements: list[Movement] = field(default_factory=list)
    authorized: int = 0
    now: datetime = START
    steps: int = 0

    @classmethod
    def charged(cls, amount: int, capture: CaptureMode = CaptureMode.IMMEDIATE) -> BothBooks:
        """A payment that is captured as a whole."""
        books = cls(amount, capture)
        if capture is CaptureMode.ON_SHIPMENT:
            books.authorize()
        books.take()
        return books

    def authorize(self, *, ledger: bool = True, provider: bool = True) -> None:
        if ledger:
            self._entry(EntryKind.AUTHORIZED, self.payment_id, self.amount, CHARGE)
        self.authorized = self.amount if provider else 0

    def take(self, amount: int | None = None, *, ledger: bool = True, provider: bool = True) -> None:
        """Capture an amount, or everything."""
        key = self.payment_id if self.capture is CaptureMode.IMMEDIATE else f"{self.payment_id}/1/capture/1"
        reference = CHARGE if self.capture is CaptureMode.IMMEDIATE else "cp_1"
        self.move(EntryKind.CAPTURED, amount or self.amount, key, reference, ledger=ledger, provider=provider)

    def refund(self, amount: int, *, ledger: bool = True, provider: bool = True) -> str:
        """Refund an amount under a key of ours; return the key."""
        key = f"{self.payment_id}/refund/r{self.steps}/1"
        self.move(EntryKind.REFUNDED, amount, key, ledger=ledger, provider=provider)
        return key

    def move(
        self,
        kind: EntryKind,
        amount: int,
        key: str = "",
        reference: str = "",
        *,
        ledger: bool = True,
        provider: bool = True,
    ) -> None:
        """Move money; without a key it is a movement that Orderfleet did not make."""
        self.steps += 1
        self.now += timedelta(minutes=1)
        reference = reference or f"{kind}_{self.steps}"
        if ledger:
            self._entry(kind, key or reference, amount, reference)
        if provider:
            of_kind = _MOVEMENTS.get(kind) or MovementKind(kind)
            self.movements.append(Movement(kind=of_kind, key=key, reference=reference, amount=amount, at=self.now))

    def release(self, amount: int) -> None:
        """Record in the ledger that the rest of the authorization is released."""
        self._entry(EntryKind.RELEASED, self.payment_id, amount, None)

    def void(self) -> None:
        """Record in the ledger that the authorization is voided."""
        self.fenced = True
        self._entry(EntryKind.VOIDED, f"{self.payment_id}/void", self._sum(EntryKind.AUTHORIZED), None)

    @property
    def left(self) -> int:
        """What can be returned, as the ledger has it."""
        return self._sum(EntryKind.CAPTURED) - sum(sign * self._sum(kind) for kind, sign in _RETURNS.items())

    def payment(self, **changes: Any) -> PaymentDetail:
        """The payment in the ledger."""
        authorized, captured = self._sum(EntryKind.AUTHORIZED), self._sum(EntryKind.CAPTURED)
        released = self._sum(EntryKind.RELEASED) + self._sum(EntryKind.VOIDED)
        has_row = self.capture is CaptureMode.ON_SHIPMENT and authorized
        row = {
            "number": 1,
            "amount": self.amount,
            "reference": self.reference,
            "state": "closed" if released or captured == self.amount else "authorized",
            "created_at": START,
        }
        values = {
            "payment_id": self.payment_id,
            "order_id": "ord-1",
            "status": self.ledger_status or self._status(authorized, captured, released),
            "capture": self.capture,
            "currency": "USD",
            "amount": self.amount,
            "authorized": max(captured if not has_row else authorized - released, 0),
            "captured": captured,
            "refunded": self._sum(EntryKind.REFUNDED) - self._sum(EntryKind.REFUND_REVERSED),
            "charged_back": self._sum(EntryKind.CHARGED_BACK) - self._sum(EntryKind.CHARGE_BACK_REVERSED),
            "open_refunds": 0,
            "refundable": max(self.left, 0),
            "reference": self.reference,
            "fenced_at": self.now if self.fenced else None,
            "created_at": START,
            "updated_at": self.now,
            "ordered_at": START,
            "authorizations": (row,) if has_row else (),
            "entries": tuple(self.entries),
        }
        return PaymentDetail(**values | changes)

    def record(self, **changes: Any) -> ProviderPayment:
        """The charge or authorization at the provider."""
        captured = sum(each.amount for each in self.movements if each.kind is MovementKind.CAPTURED)
        status = ProviderStatus.CAPTURED if captured >= self.amount else ProviderStatus.AUTHORIZED
        values = {
            "payment_id": self.payment_id,
            "order_id": "ord-1",
            "reference": CHARGE,
            "currency": "USD",
            "amount": self.amount,
            "status": self.provider_status or status,
            "authorized": max(self.authorized, captured if self.capture is CaptureMode.IMMEDIATE else 0),
            "movements": tuple(self.movements),
        }
        return ProviderPayment(**values | changes)

    def _entry(self, kind: EntryKind, key: str, amount: int, reference: str | None) -> None:
        self.entries.append(
            PaymentEntry(
                kind=kind,
                key=key,
                amount=amount,
                currency="USD",
                source=EntrySource.ORDER,
                reference=reference,
                at=self.now,
                recorded_at=self.now,
            )
        )

    def _status(self, authorized: int, captured: int, released: int) -> PaymentStatus:
        if captured:
            if self.left <= 0:
                return PaymentStatus.REFUNDED
            return PaymentStatus.PARTIALLY_REFUNDED if self.left < captured else PaymentStatus.CHARGED
        if authorized > released:
            return PaymentStatus.AUTHORIZED
        return PaymentStatus.VOIDED if self.entries else PaymentStatus.INIT

    def _sum(self, kind: EntryKind) -> int:
        return sum(entry.amount for entry in self.entries if entry.kind is kind)
