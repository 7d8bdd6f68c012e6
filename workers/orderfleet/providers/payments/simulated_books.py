"""The books of the simulated payment provider: its charges and authorizations, and the movements of their money.

Everything here runs inside one transaction of the ledger, so that late, repeated and concurrent calls find one state.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from orderfleet.domain.errors import AuthorizationLapsed, PaymentRefused, PaymentVoided
from orderfleet.domain.money import amount_text, minor_units, to_decimal
from orderfleet.domain.payment import (
    CaptureIntent,
    Movement,
    PaymentIntent,
    ProviderPayment,
    ProviderStatus,
    RefundIntent,
    VoidOutcome,
)
from orderfleet.domain.status import PendingCustomer
from orderfleet.providers.payments.simulated_entries import MOVEMENTS, Course

_LAPSED: Final = "lapsed"
"""State of an authorization that lapsed before a capture. `look_up` shows it as voided."""

_REFERENCES: Final = {"charge": "ch", "authorize": "au", "capture": "cp", "refund": "re"}

_BY_KEY: Final = "select * from payment_requests where payment_id = ? and number = ?"

_BY_REFERENCE: Final = "select * from payment_requests where reference = ?"

_CHANGED: Final = """
select * from payment_requests where (at >= ? and at < ?)
    or (payment_id, number) in (select payment_id, number from payment_entries where at >= ? and at < ?)
order by at
"""

_INSERT: Final = """
insert or replace into payment_requests (payment_id, number, key, order_id, kind, amount, currency, reference, state,
    reason, at, fails, decided_at, until, lapses_in, expires_at, refuses_captures)
values (:payment_id, :number, :key, :order_id, :kind, :amount, :currency, :reference, :state,
    :reason, :at, :fails, :decided_at, :until, :lapses_in, :expires_at, :refuses_captures)
"""

_UPDATE: Final = """
update payment_requests set state = :state, reason = :reason, expires_at = :expires_at
where payment_id = :payment_id and number = :number
"""


class Books:
    """Reads and writes the books in one transaction.

    Args:
        ledger: the connection, in a transaction.
    """

    def __init__(self, ledger: sqlite3.Connection) -> None:
        self._ledger = ledger
        self._now = datetime.now(UTC)

    def request(self, kind: str, payment: PaymentIntent, course: Course) -> ProviderPayment:
        """Make a charge or an authorization unless there is one; return it, also if it failed.

        Args:
            kind: `charge` or `authorize`.
            payment: to charge or to authorize.
            course: of a new one.

        Raises:
            PaymentRefused: the key was used with other content.
            PaymentVoided: it was voided.
        """
        row = self._row(payment)
        if row is None or row["state"] == ProviderStatus.FAILED:
            row = self._insert(kind, payment, course)
        if row["state"] == ProviderStatus.VOIDED:
            raise PaymentVoided(f"payment {payment.key} was voided")
        before = (row["kind"], row["order_id"], row["amount"], row["currency"])
        if before != (kind, payment.order_id, payment.amount, payment.currency):
            made = "charged" if row["kind"] == "charge" else "authorized"
            raise PaymentRefused(
                f"payment {payment.key} was {made} before: {amount_text(row['amount'], row['currency'])}"
                f" for order {row['order_id']}"
            )
        return self._read(row)

    def capture(self, capture: CaptureIntent) -> str:
        """Capture from an authorization, once; return the capture's reference.

        Raises:
            PaymentRefused: the authorization has not this amount left, refuses, or the key was used with another one.
            AuthorizationLapsed: the authorization lapsed.
            PaymentVoided: it was voided.
        """
        payment = capture.payment
        row = self._existing(payment)
        if (reference := self._repeated("capture", row, capture.key, capture.amount)) is not None:
            return reference
        match row["state"]:
            case ProviderStatus.VOIDED:
                raise PaymentVoided(f"payment {payment.key} was voided")
            case state if state == _LAPSED:
                raise AuthorizationLapsed(f"the authorization {payment.key} has lapsed")
            case ProviderStatus.AUTHORIZED if not row["refuses_captures"]:
                pass
            case state:
                why = "refuses captures" if row["refuses_captures"] else f"is {state}"
                raise PaymentRefused(f"payment {payment.key} {why}; nothing can be captured")
        remaining = row["amount"] - self._captured(row)
        if capture.amount > remaining:
            raise PaymentRefused(
                f"payment {payment.key} has {amount_text(remaining, row['currency'])} left to capture,"
                f" not {capture.decimal_amount}"
            )
        reference = self._add("capture", row, capture.amount, capture.key)
        if capture.final:
            self._release(row, remaining - capture.amount)
            self._update(row, state=ProviderStatus.CAPTURED)
        return reference

    def refund(self, refund: RefundIntent) -> str:
        """Refund from what was captured, once; return the refund's reference.

        Raises:
            PaymentRefused: less was captured and not refunded, or the key was used with another amount.
            PaymentVoided: it was voided, so everything is refunded.
        """
        payment = refund.payment
        row = self._existing(payment)
        if (reference := self._repeated("refund", row, refund.key, refund.amount)) is not None:
            return reference
        if row["state"] == ProviderStatus.VOIDED:
            raise PaymentVoided(f"payment {payment.key} was voided; what it captured is refunded")
        left = self._refundable(row)
        if refund.amount > left:
            raise PaymentRefused(
                f"payment {payment.key} has {amount_text(left, row['currency'])} left to refund,"
                f" not {refund.decimal_amount}"
            )
        return self._add("refund", row, refund.amount, refund.key)

    def void(self, payment: PaymentIntent) -> VoidOutcome:
        """Close the charge or the authorization: release what is authorized and refund what is captured."""
        row = self._row(payment) or self._insert("void", payment, Course())
        captured, state = self._captured(row), row["state"]
        if not self._has(row, "void"):
            self._add("void", row, row["amount"], f"{payment.key}/void")
            if state == ProviderStatus.AUTHORIZED:
                self._release(row, row["amount"] - captured)
            if (left := self._refundable(row)) > 0:
                self._add("refund", row, left, f"{payment.key}/void")
            self._update(row, state=ProviderStatus.VOIDED)
        if captured:
            return VoidOutcome.REFUNDED
        return VoidOutcome.RELEASED if self._has(row, "authorize") else VoidOutcome.NEVER_CHARGED

    def decide(self, payment_id: str, number: int, *, approve: bool) -> None:
        """Decide a pending charge or authorization, as its customer or the provider would.

        Raises:
            LookupError: nothing is pending under this number.
        """
        row = self._settled(_BY_KEY, payment_id, number)
        if not row or row[0]["state"] != ProviderStatus.PENDING:
            raise LookupError(f"payment {payment_id} has nothing pending under number {number}")
        self._decide(row[0], approve=approve, reason="the customer did not confirm")

    def move(self, kind: str, payment_id: str, amount: Decimal, number: int = 1) -> str:
        """Add a movement that no call asked for, such as a refund in a dashboard; return its reference.

        Args:
            kind: of the entry.
            payment_id: of the payment.
            amount: in major units.
            number: of the authorization in its payment.
        """
        (row,) = self._settled(_BY_KEY, payment_id, number)
        return self._add(kind, row, minor_units(amount, row["currency"]), "")

    def look_up(self, payment: PaymentIntent) -> ProviderPayment | None:
        """Return a charge or an authorization by its reference, or else its key; None if there is none."""
        by_reference = self._settled(_BY_REFERENCE, payment.reference or "")
        row = by_reference[0] if by_reference else self._row(payment)
        return None if row is None else self._read(row)

    def changed(self, since: datetime, until: datetime) -> list[ProviderPayment]:
        """Return what was requested or moved money from `since` until before `until`."""
        times = (_text(since), _text(until))
        rows = self._settled(_CHANGED, *times, *times)
        return [self._read(row) for row in rows]

    def _existing(self, payment: PaymentIntent) -> Mapping[str, Any]:
        row = self._row(payment)
        if row is None:
            raise PaymentRefused(f"payment {payment.key} has no charge and no authorization")
        if (row["order_id"], row["currency"]) != (payment.order_id, payment.currency):
            raise PaymentRefused(f"payment {payment.key} is of order {row['order_id']}, in {row['currency']}")
        return row

    def _row(self, payment: PaymentIntent) -> Mapping[str, Any] | None:
        rows = self._settled(_BY_KEY, payment.payment_id, payment.number)
        return rows[0] if rows else None

    def _settled(self, query: str, *values: Any) -> list[Mapping[str, Any]]:
        """Return the rows of a query, after what is due by now: decisions and ends of authorizations."""
        found = []
        for row in self._ledger.execute(query, values).fetchall():
            settled: Mapping[str, Any] = dict(row)
            if settled["state"] == ProviderStatus.PENDING and settled["decided_at"] <= _text(self._now):
                reason = "the customer did not confirm in time" if settled["until"] else "card declined"
                settled = self._decide(settled, approve=not settled["fails"], reason=reason)
            if settled["state"] == ProviderStatus.AUTHORIZED and (settled["expires_at"] or "~") <= _text(self._now):
                captured = self._captured(settled)
                self._release(settled, settled["amount"] - captured)
                settled = self._update(settled, state=ProviderStatus.CAPTURED if captured else _LAPSED)
            found.append(settled)
        return found

    def _insert(self, kind: str, payment: PaymentIntent, course: Course) -> Mapping[str, Any]:
        decided_at = _text(self._now + (course.decided_in or timedelta(0)))
        row = {
            **payment.model_dump(include={"payment_id", "number", "order_id", "amount", "currency"}),
            "key": payment.key,
            "kind": kind,
            "reference": _reference(kind),
            "state": ProviderStatus.VOIDED if kind == "void" else ProviderStatus.PENDING,
            "reason": "",
            "at": _text(self._now),
            "fails": course.fails,
            "decided_at": decided_at,
            "until": decided_at if course.waits_for_customer else None,
            "lapses_in": course.lapses_in.total_seconds() if course.lapses_in else None,
            "expires_at": None,
            "refuses_captures": course.refuses_captures,
        }
        self._ledger.execute(_INSERT, row)
        if course.decided_in is not None or kind == "void":
            return row
        return self._decide(row, approve=not course.fails, reason="card declined")

    def _decide(self, row: Mapping[str, Any], *, approve: bool, reason: str) -> Mapping[str, Any]:
        if not approve:
            return self._update(row, state=ProviderStatus.FAILED, reason=reason)
        self._add(row["kind"], row, row["amount"], row["key"], row["reference"])
        if row["kind"] == "charge":
            return self._update(row, state=ProviderStatus.CAPTURED)
        expires = None if row["lapses_in"] is None else _text(self._now + timedelta(seconds=row["lapses_in"]))
        return self._update(row, state=ProviderStatus.AUTHORIZED, expires_at=expires)

    def _update(self, row: Mapping[str, Any], **changed: Any) -> Mapping[str, Any]:
        updated = {**row, **changed}
        self._ledger.execute(_UPDATE, updated)
        return updated

    def _release(self, row: Mapping[str, Any], amount: int) -> None:
        if amount > 0:
            self._add("release", row, amount, "")

    def _add(self, kind: str, row: Mapping[str, Any], amount: int, key: str, reference: str = "") -> str:
        reference = reference or _reference(kind)
        self._ledger.execute(
            "insert into payment_entries (at, kind, payment_id, number, order_id, key, amount, currency, reference)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(_text(self._now), kind, row["payment_id"], row["number"], row["order_id"], key),
                *(str(to_decimal(amount, row["currency"])), row["currency"], reference),
            ),
        )
        return reference

    def _entries(self, row: Mapping[str, Any], *kinds: str) -> list[sqlite3.Row]:
        found = self._ledger.execute(
            "select * from payment_entries where payment_id = ? and number = ? order by id",
            (row["payment_id"], row["number"]),
        )
        return [each for each in found if each["kind"] in kinds]

    def _has(self, row: Mapping[str, Any], kind: str) -> bool:
        return bool(self._entries(row, kind))

    def _sum(self, row: Mapping[str, Any], *kinds: str) -> int:
        return sum(minor_units(Decimal(each["amount"]), row["currency"]) for each in self._entries(row, *kinds))

    def _captured(self, row: Mapping[str, Any]) -> int:
        return self._sum(row, "charge", "capture")

    def _refundable(self, row: Mapping[str, Any]) -> int:
        returned = self._sum(row, "charge_back_reversal", "refund_failure") - self._sum(row, "refund", "charge_back")
        return self._captured(row) + returned

    def _repeated(self, kind: str, row: Mapping[str, Any], key: str, amount: int) -> str | None:
        """Return the reference of the movement that was made under this key before; None without one."""
        for each in self._entries(row, kind):
            if each["key"] != key:
                continue
            if Decimal(each["amount"]) != to_decimal(amount, row["currency"]):
                raise PaymentRefused(f"{key} was used before, for {each['amount']} {each['currency']}")
            return str(each["reference"])
        return None

    def _read(self, row: Mapping[str, Any]) -> ProviderPayment:
        status = ProviderStatus.VOIDED if row["state"] == _LAPSED else ProviderStatus(row["state"])
        pending = PendingCustomer(url=f"https://pay.example/{row['reference']}", until=row["until"])
        return ProviderPayment(
            payment_id=row["payment_id"],
            order_id=row["order_id"],
            number=row["number"],
            reference=row["reference"],
            currency=row["currency"],
            amount=row["amount"],
            status=status,
            reason=row["reason"],
            pending=pending if status is ProviderStatus.PENDING else None,
            authorized=self._sum(row, "charge", "authorize"),
            expires_at=row["expires_at"],
            movements=tuple(
                Movement(
                    kind=MOVEMENTS[each["kind"]],
                    key=each["key"],
                    reference=each["reference"],
                    amount=minor_units(Decimal(each["amount"]), row["currency"]),
                    at=each["at"],
                )
                for each in self._entries(row, *MOVEMENTS)
            ),
        )


def _text(moment: datetime) -> str:
    """A time as the books hold it; texts are ordered as times are."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _reference(kind: str) -> str:
    return f"{_REFERENCES.get(kind, kind)}_{uuid.uuid4().hex[:20]}"
