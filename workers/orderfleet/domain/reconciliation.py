"""Compares the ledger of money with the payment provider's books: payments of both in, differences out.

It reads and decides only. Each charge or authorization is compared by itself, so that the books can be compared in
parts of any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from orderfleet.domain.books import (
    UNKNOWN_TIME,
    Account,
    Pairs,
    accounts,
    authorizations,
    captured_amount,
    first_movement,
    held_amount,
    holds_money,
    is_open,
    kind_of_entry,
    match,
    own_record,
    recorded_at,
)
from orderfleet.domain.differences import Difference, DifferenceKind
from orderfleet.domain.ledger import EntryKind, EntrySource, IntentStatus, PaymentDetail, PaymentEntry
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import Movement, MovementKind, ProviderPayment
from orderfleet.domain.status import PaymentStatus

_UNDONE: Final = frozenset({PaymentStatus.VOIDED, PaymentStatus.FAILED, PaymentStatus.REFUNDED})
"""Statuses of a payment without an operation in progress."""

_FACTS: Final = {
    MovementKind.REFUNDED: (DifferenceKind.REFUND_NOT_IN_LEDGER, DifferenceKind.REFUND_NOT_AT_PROVIDER),
    MovementKind.REFUND_FAILED: (DifferenceKind.REFUND_FAILED, DifferenceKind.REFUND_FAILURE_NOT_AT_PROVIDER),
    MovementKind.CHARGED_BACK: (DifferenceKind.CHARGE_BACK_NOT_IN_LEDGER, DifferenceKind.CHARGE_BACK_NOT_AT_PROVIDER),
    MovementKind.CHARGE_BACK_REVERSED: (
        DifferenceKind.CHARGE_BACK_REVERSAL_NOT_IN_LEDGER,
        DifferenceKind.CHARGE_BACK_REVERSAL_NOT_AT_PROVIDER,
    ),
}
"""Movements other than captures; the differences if the ledger does not have one, and if the provider does not."""


def compare_books(
    ledger: Iterable[PaymentDetail],
    provider: Iterable[ProviderPayment],
    *,
    before: datetime,
    complete: bool = False,
) -> list[Difference]:
    """Return the differences between the ledger and the provider's books.

    Args:
        ledger: payments; those of `provider` are among them if the ledger has them.
        provider: charges and authorizations in the provider's books.
        before: a difference that began later may be an operation in progress, and is left out.
        complete: whether `provider` has everything of the payments in `ledger`.
    """
    payments = {payment.payment_id: payment for payment in ledger}
    records: dict[str, list[ProviderPayment]] = {payment_id: [] for payment_id in payments}
    for record in provider:
        records.setdefault(record.payment_id, []).append(record)
    return [
        difference
        for payment_id, those in records.items()
        for difference in _compare(payments.get(payment_id), those, complete)
        if difference.since <= before
    ]


def _compare(payment: PaymentDetail | None, records: list[ProviderPayment], complete: bool) -> Iterator[Difference]:
    if payment is None:
        for record in filter(holds_money, records):
            yield _of_record(DifferenceKind.PAYMENT_NOT_IN_LEDGER, record)
        return
    own = accounts(payment)
    chosen = {number: own_record(account, records) for number, account in own.items()}
    for record in records:
        if chosen.get(record.number) is record:
            yield from _compare_one(payment, own[record.number], record)
        elif holds_money(record):
            charged = held_amount(record) > 0
            kind = DifferenceKind.CHARGED_TWICE if charged else DifferenceKind.AUTHORIZATION_NOT_RELEASED
            yield _of_record(kind, record)
    if complete:
        for account in own.values():
            if chosen[account.number] is None:
                yield from _not_at_provider(payment, account)


def _compare_one(payment: PaymentDetail, account: Account, record: ProviderPayment) -> Iterator[Difference]:
    both = {"ledger_amount": account.amount, "since": payment.created_at}
    if record.order_id and record.order_id != payment.order_id:
        yield _of_record(DifferenceKind.ORDER_ID, record, **both, order_id=payment.order_id)
        return
    if record.currency != payment.currency:
        yield _of_record(DifferenceKind.CURRENCY, record, **both)
        return
    comparison = _Comparison(payment, account, record)
    captures = list(comparison.captures())
    yield from captures
    yield from comparison.other_movements()
    if not any(difference.kind is DifferenceKind.AMOUNT for difference in captures):
        yield from comparison.authorization()


class _Comparison:
    """One charge or authorization in both books, which have the same order and currency of it."""

    def __init__(self, payment: PaymentDetail, account: Account, record: ProviderPayment) -> None:
        self._payment, self._account, self._record = payment, account, record
        self._missing_refunds = list(self._match(MovementKind.REFUNDED)[2])

    def captures(self) -> Iterator[Difference]:
        pairs, entries, movements = self._match(MovementKind.CAPTURED)
        yield from self._amounts(pairs)
        for entry in entries:
            yield self._of_entry(DifferenceKind.CAPTURE_NOT_AT_PROVIDER, entry)
        payment = self._payment
        left = payment.amount - payment.captured
        for movement in sorted(movements, key=lambda each: each.at):
            expected = self._expected(movement)
            if left < payment.amount and movement.amount > left:
                if not self._returned(movement):
                    yield self._of_movement(DifferenceKind.CHARGED_TWICE, movement)
            elif expected is not None and movement.amount != expected:
                yield self._of_movement(DifferenceKind.AMOUNT, movement, ledger_amount=expected)
            elif movement.amount > left:
                yield self._of_movement(DifferenceKind.AMOUNT, movement, ledger_amount=max(left, 0))
            else:
                left -= movement.amount
                yield self._missing_capture(movement)

    def other_movements(self) -> Iterator[Difference]:
        for kind, (not_in_ledger, not_at_provider) in _FACTS.items():
            pairs, entries, movements = self._match(kind)
            yield from self._amounts(pairs)
            for entry in entries:
                yield self._of_entry(not_at_provider, entry)
            for movement in self._missing_refunds if kind is MovementKind.REFUNDED else movements:
                yield self._of_movement(not_in_ledger, movement, facts=(self._fact(movement),))

    def authorization(self) -> Iterator[Difference]:
        """Compare whether the authorization, or the charge, is open."""
        account, record = self._account, self._record
        open_there = is_open(record)
        authorized = account.sum(EntryKind.AUTHORIZED)
        changed = max(self._payment.updated_at, self._payment.fenced_at or UNKNOWN_TIME)
        if self._payment.capture is CaptureMode.ON_SHIPMENT and record.authorized:
            since = {"since": changed, "provider_amount": record.authorized}
            if authorized and record.authorized != authorized:
                yield self._difference(DifferenceKind.AMOUNT, ledger_amount=authorized, **since)
            elif not authorized and account.state == "open" and self._payment.pending is None:
                if record.authorized != account.amount:
                    yield self._difference(DifferenceKind.AMOUNT, ledger_amount=account.amount, **since)
                else:
                    fact = self._entry(EntryKind.AUTHORIZED, record.authorized, changed)
                    yield self._difference(DifferenceKind.AUTHORIZATION_NOT_IN_LEDGER, **since, facts=(fact,))
        if open_there and account.state in {"closed", "refused"}:
            yield self._difference(
                DifferenceKind.AUTHORIZATION_NOT_RELEASED,
                ledger_amount=0,
                provider_amount=max(record.amount - captured_amount(record), 0),
                since=max(changed, account.recorded(*EntryKind)),
                voids=not captured_amount(record) and not account.open_keys,
            )
        # A capture that only the provider has is recorded first: nothing of it is released.
        rest = account.rest - max(captured_amount(record) - account.sum(EntryKind.CAPTURED), 0)
        if not open_there and account.state == "authorized" and rest > 0 and not account.open_keys:
            since = {"since": max(changed, account.recorded(EntryKind.AUTHORIZED)), "provider_amount": 0}
            fact = self._entry(EntryKind.RELEASED, rest, changed)
            yield self._difference(DifferenceKind.AUTHORIZATION_ENDED, ledger_amount=rest, **since, facts=(fact,))

    def _match(self, kind: MovementKind) -> tuple[Pairs, list[PaymentEntry], list[Movement]]:
        wanted = kind_of_entry(kind)
        entries = [each for each in self._account.entries if each.kind is wanted]
        return match(entries, [each for each in self._record.movements if each.kind is kind and each.amount])

    def _amounts(self, pairs: Pairs) -> Iterator[Difference]:
        for entry, movement in pairs:
            if entry.amount != movement.amount:
                since = max(recorded_at(entry), movement.at)
                yield self._of_movement(DifferenceKind.AMOUNT, movement, ledger_amount=entry.amount, since=since)

    def _expected(self, movement: Movement) -> int | None:
        """The amount that a capture without an entry has to have; None if any that is left will do."""
        if self._payment.capture is CaptureMode.IMMEDIATE:
            return self._account.amount
        asked = (each for each in self._payment.intents if each.key == movement.key and each.kind == "capture")
        return next((each.amount for each in asked), None)

    def _missing_capture(self, movement: Movement) -> Difference:
        payment = self._payment
        undone = payment.fenced_at is not None or any(each.kind is EntryKind.VOIDED for each in payment.entries)
        idle = payment.status in _UNDONE and not any(each.status is IntentStatus.OPEN for each in payment.intents)
        return self._of_movement(
            DifferenceKind.CAPTURE_NOT_IN_LEDGER, movement, facts=(self._fact(movement),), voids=undone and idle
        )

    def _returned(self, capture: Movement) -> bool:
        """Whether a second charge was returned by a refund in the dashboard, which is then no difference either."""
        for refund in self._missing_refunds:
            if not refund.key and refund.amount == capture.amount and refund.at >= capture.at:
                self._missing_refunds.remove(refund)
                return True
        return False

    def _fact(self, movement: Movement) -> PaymentEntry:
        """The entry of a movement: a reversal has the key of what it reverses, and no key is used twice."""
        fact = PaymentEntry.of(movement, self._record.number, self._record.currency, EntrySource.RECONCILIATION)
        reverses = fact.kind in {EntryKind.REFUND_REVERSED, EntryKind.CHARGE_BACK_REVERSED}
        references = {each.reference: each.key for each in self._account.entries}
        if reverses and not movement.key:
            return fact.model_copy(update={"key": references.get(movement.reference, fact.key)})
        taken = any(each.kind is fact.kind and each.key == fact.key for each in self._payment.entries)
        return fact.model_copy(update={"key": movement.reference}) if taken else fact

    def _entry(self, kind: EntryKind, amount: int, at: datetime) -> PaymentEntry:
        (intent,) = (each for each in authorizations(self._payment) if each.number == self._account.number)
        return PaymentEntry(
            kind=kind,
            key=intent.key,
            number=self._account.number,
            amount=amount,
            currency=self._payment.currency,
            source=EntrySource.RECONCILIATION,
            reference=self._record.reference if kind is EntryKind.AUTHORIZED else None,
            at=at,
        )

    def _of_movement(self, kind: DifferenceKind, movement: Movement, **values: Any) -> Difference:
        key = movement.reference if kind is DifferenceKind.CHARGED_TWICE else movement.key or movement.reference
        return self._difference(kind, **{"provider_amount": movement.amount, "since": movement.at} | values, key=key)

    def _of_entry(self, kind: DifferenceKind, entry: PaymentEntry) -> Difference:
        return self._difference(kind, ledger_amount=entry.amount, since=recorded_at(entry), key=entry.key)

    def _difference(self, kind: DifferenceKind, **values: Any) -> Difference:
        return _of_record(kind, self._record, **{"provider_amount": None} | values, order_id=self._payment.order_id)


def _not_at_provider(payment: PaymentDetail, account: Account) -> Iterator[Difference]:
    captured, rest = account.sum(EntryKind.CAPTURED), account.rest
    if captured:
        kind, amount = DifferenceKind.CAPTURE_NOT_AT_PROVIDER, captured
    elif rest > 0 and account.state == "authorized":
        kind, amount = DifferenceKind.AUTHORIZATION_ENDED, rest
    else:
        return
    yield Difference(
        kind=kind,
        payment_id=payment.payment_id,
        order_id=payment.order_id,
        key=str(account.number),
        number=account.number,
        currency=payment.currency,
        ledger_amount=amount,
        reference=account.reference,
        since=account.recorded(*EntryKind),
    )


def _of_record(kind: DifferenceKind, record: ProviderPayment, **values: Any) -> Difference:
    default = {
        "key": record.reference,
        "order_id": record.order_id,
        "provider_amount": held_amount(record) or record.amount,
        "since": first_movement(record),
    }
    return Difference(
        kind=kind,
        payment_id=record.payment_id,
        number=record.number,
        currency=record.currency,
        reference=record.reference,
        **default | values,
    )
