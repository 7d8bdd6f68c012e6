"""What the ledger and the payment provider have of one charge or authorization, and which of it is the same.

A payment has several charges or authorizations only if one lapsed. Each has a number, which both books name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from orderfleet.domain.ledger import EntryKind, IntentStatus, PaymentDetail, PaymentEntry
from orderfleet.domain.payment import Movement, MovementKind, PaymentIntent, ProviderPayment, ProviderStatus
from orderfleet.domain.status import PaymentStatus

UNKNOWN_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)

_OPEN: Final = frozenset({ProviderStatus.AUTHORIZED, ProviderStatus.PENDING})
_RETURNED: Final = frozenset({MovementKind.REFUNDED, MovementKind.CHARGED_BACK})

Pairs = list[tuple[PaymentEntry, Movement]]


@dataclass(frozen=True)
class Account:
    """One charge or authorization in the ledger."""

    number: int
    amount: int
    reference: str | None
    state: str
    """`open`, `authorized`, `refused` or `closed`."""
    entries: tuple[PaymentEntry, ...]
    """Those that count and have an amount."""
    open_keys: frozenset[str]
    """Keys of its captures and refunds without an answer."""

    def sum(self, *kinds: EntryKind) -> int:
        """Sum of the entries of these kinds."""
        return sum(entry.amount for entry in self.entries if entry.kind in kinds)

    def recorded(self, *kinds: EntryKind) -> datetime:
        """When the latest entry of these kinds was recorded."""
        return max((recorded_at(each) for each in self.entries if each.kind in kinds), default=UNKNOWN_TIME)

    @property
    def rest(self) -> int:
        """What is authorized and neither captured nor released."""
        return self.sum(EntryKind.AUTHORIZED) - self.sum(EntryKind.CAPTURED, EntryKind.RELEASED, EntryKind.VOIDED)


def accounts(payment: PaymentDetail) -> dict[int, Account]:
    """The charges and authorizations of a payment, by number; the first one has a row only once it is authorized."""
    rows: dict[int, tuple[int, str | None, str]] = {1: (payment.amount, payment.reference, _first_state(payment))}
    rows |= {
        row.number: (row.amount, row.reference or (payment.reference if row.number == 1 else None), row.state)
        for row in payment.authorizations
    }
    return {
        number: Account(
            number,
            *row,
            entries=tuple(each for each in payment.entries if each.number == number and each.counts and each.amount),
            open_keys=frozenset(
                each.key for each in payment.intents if each.number == number and each.status is IntentStatus.OPEN
            ),
        )
        for number, row in rows.items()
    }


def authorizations(payment: PaymentDetail) -> list[PaymentIntent]:
    """The charges and authorizations of a payment that the ledger has, as the provider is asked for them."""
    return [
        PaymentIntent(
            payment_id=payment.payment_id,
            order_id=payment.order_id,
            currency=payment.currency,
            amount=account.amount,
            method=payment.method,
            number=account.number,
            reference=account.reference,
        )
        for account in accounts(payment).values()
    ]


def own_record(account: Account, records: Iterable[ProviderPayment]) -> ProviderPayment | None:
    """The provider's record of a charge or an authorization. Another record of the same number is a second charge."""
    same = [record for record in records if record.number == account.number]
    known = {entry.reference for entry in account.entries} | {account.reference}
    for record in same:
        if record.reference in known:
            return record
    for record in same:
        if known & {movement.reference for movement in record.movements}:
            return record
    if account.entries and account.reference is not None:
        return None
    return min(same, key=lambda each: (not holds_money(each), first_movement(each), each.reference), default=None)


def match(
    entries: Sequence[PaymentEntry], movements: Sequence[Movement]
) -> tuple[Pairs, list[PaymentEntry], list[Movement]]:
    """Pair entries and movements of one kind.

    Their keys decide, then the provider's references, and then the amounts of two that have no id in common but could.

    Returns:
        The pairs, the other entries, and the other movements.
    """
    pairs: Pairs = []
    left, missing = list(entries), list(movements)
    for same in _SAME:
        for entry in list(left):
            movement = next((each for each in missing if same(entry, each)), None)
            if movement is not None:
                pairs.append((entry, movement))
                left.remove(entry)
                missing.remove(movement)
    return pairs, left, missing


def _same_key(entry: PaymentEntry, movement: Movement) -> bool:
    return entry.key == movement.key


def _same_key_and_reference(entry: PaymentEntry, movement: Movement) -> bool:
    return _same_key(entry, movement) and entry.reference == movement.reference


def _same_reference(entry: PaymentEntry, movement: Movement) -> bool:
    return movement.reference in {entry.reference, entry.key}


def _same_amount(entry: PaymentEntry, movement: Movement) -> bool:
    return not movement.key and entry.reference is None and entry.amount == movement.amount


_SAME: Final[Sequence[Callable[[PaymentEntry, Movement], bool]]] = (
    _same_key_and_reference,
    _same_key,
    _same_reference,
    _same_amount,
)


def kind_of_entry(kind: MovementKind) -> EntryKind:
    """The kind of the entry of a movement."""
    return EntryKind.REFUND_REVERSED if kind is MovementKind.REFUND_FAILED else EntryKind(kind)


def recorded_at(entry: PaymentEntry) -> datetime:
    """When the ledger got an entry, or when the money moved, if that was later."""
    return max(entry.at, entry.recorded_at or entry.at)


def first_movement(record: ProviderPayment) -> datetime:
    """When money moved first."""
    return min((movement.at for movement in record.movements), default=UNKNOWN_TIME)


def captured_amount(record: ProviderPayment) -> int:
    """What the provider has captured."""
    return sum(each.amount for each in record.movements if each.kind is MovementKind.CAPTURED)


def held_amount(record: ProviderPayment) -> int:
    """What the provider has captured and not returned."""
    return sum(-each.amount if each.kind in _RETURNED else each.amount for each in record.movements)


def is_open(record: ProviderPayment) -> bool:
    """Whether the provider may capture, or has not decided."""
    return record.status in _OPEN


def holds_money(record: ProviderPayment) -> bool:
    """Whether the provider has money of the customer, or may take it."""
    return held_amount(record) > 0 or is_open(record)


def _first_state(payment: PaymentDetail) -> str:
    if any(entry.number == 1 and entry.kind is EntryKind.VOIDED for entry in payment.entries):
        return "closed"
    match payment.status:
        case PaymentStatus.INIT | PaymentStatus.PENDING:
            return "open"
        case PaymentStatus.FAILED:
            return "refused"
        case PaymentStatus.VOIDED:
            return "closed"
    return "authorized"
