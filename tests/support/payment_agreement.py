"""A payment in three sources: the provider's books, the ledger of the order store, and the status of the order.

Once an order has ended and its refunds are made, the three agree, and no key has moved money twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple

from orderfleet.domain.ledger import IntentStatus, PaymentDetail
from orderfleet.domain.money import to_decimal
from orderfleet.domain.status import OrderStatus, PaymentStatus
from orderfleet.providers.payments.simulated import PaymentLedger
from orderfleet.providers.payments.simulated_entries import MOVEMENTS, PaymentEntry
from orderfleet.store.payment_reads import PaymentReads
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from support.ledgers import SHIPPED

NOTHING: Final = Decimal(0)


class Sums(NamedTuple):
    """The amounts of a payment."""

    authorized: Decimal
    """Authorized or captured, without what was released."""
    captured: Decimal
    refunded: Decimal


@dataclass(frozen=True, kw_only=True)
class PaymentSources:
    """What each source has of one order's payment."""

    status: OrderStatus
    payment: PaymentDetail | None
    """In the ledger."""
    derived: tuple[PaymentStatus, Sums] | None
    """What the entries of the ledger derive."""
    discrepancies: Sequence[str] = ()
    """Kinds of entries of the ledger that do not fit together."""
    book: Sequence[PaymentEntry] = ()
    """The provider's entries."""

    @property
    def captured(self) -> Decimal:
        """What the provider has captured."""
        return self._sum("charge", "capture")

    @property
    def refunded(self) -> Decimal:
        """What the provider has refunded."""
        return self._sum("refund") - self._sum("refund_failure")

    @property
    def provider(self) -> Sums:
        """The provider's amounts."""
        return Sums(self._sum("charge", "authorize") - self._sum("release"), self.captured, self.refunded)

    def _sum(self, *kinds: str) -> Decimal:
        return sum((entry.amount for entry in self.book if entry.kind in kinds), NOTHING)


async def payment_sources(database: Database, ledger: PaymentLedger, order_id: str) -> PaymentSources:
    """Read each source.

    Args:
        database: the order store.
        ledger: of the provider.
        order_id: of a recorded order.
    """
    order = await OrderReads(database).order(order_id)
    assert order is not None, f"{order_id} is not recorded"
    payment_id = order.status.payment.id
    derived = await database.fetch(_DERIVED, payment_id)
    discrepancies = await database.fetch("select kind from payment_discrepancies where payment_id = $1", payment_id)
    return PaymentSources(
        status=order.status,
        payment=await PaymentReads(database).payment(payment_id),
        derived=(PaymentStatus(derived[0]["status"]), _sums(derived[0])) if derived else None,
        discrepancies=[row["kind"] for row in discrepancies],
        book=ledger.entries(payment_id),
    )


_DERIVED: Final = """
select p.currency, d.status, d.authorized - d.released as authorized, d.captured, d.refunded
from derived_payments as d join payments as p on p.payment_id = d.payment_id
where d.payment_id = $1
"""


def disagreements(sources: PaymentSources, refunded: Decimal = NOTHING) -> list[str]:
    """Return how the sources of an ended order's payment differ, and what moved money twice.

    Args:
        sources: of the payment.
        refunded: what the customer of a shipped order was refunded.
    """
    return [
        *_repeated(sources.book),
        *_different_sums(sources),
        *_different_movements(sources),
        *_open(sources),
        *(f"its entries do not fit together: {kind}" for kind in sources.discrepancies),
        *_wrong_end(sources, refunded),
    ]


def _repeated(book: Sequence[PaymentEntry]) -> Iterator[str]:
    times = Counter((entry.kind, entry.number, entry.key) for entry in book if entry.key)
    yield from (f"{kind} {key} {count} times" for (kind, _, key), count in times.items() if count > 1)


def _different_sums(sources: PaymentSources) -> Iterator[str]:
    shown, payment = sources.status.payment, sources.payment
    order = (shown.status, Sums(shown.authorized, shown.captured, shown.refunded))
    found: dict[str, tuple[PaymentStatus | None, Sums] | None] = {
        "the entries": sources.derived,
        "the provider": (shown.status, sources.provider),
        "the payment": None if payment is None else (payment.status, _sums(dict(payment))),
    }
    if shown.status is None:  # The charge has not begun.
        found = {"the provider": (None, sources.provider)}
    yield from (f"{name}: {sums}, the order: {order}" for name, sums in found.items() if sums != order)


def _different_movements(sources: PaymentSources) -> Iterator[str]:
    """Money that only one of provider and ledger has under its key."""
    if sources.payment is None:
        return
    at_provider = {
        (str(MOVEMENTS[entry.kind]), entry.key): entry.amount for entry in sources.book if entry.kind in MOVEMENTS
    }
    in_ledger = {
        (str(entry.kind), entry.key): to_decimal(entry.amount, entry.currency)
        for entry in sources.payment.entries
        if entry.kind in {"captured", "refunded", "refund_reversed", "charged_back", "charge_back_reversed"}
    }
    if at_provider != in_ledger:
        yield f"moved at the provider: {at_provider}, in the ledger: {in_ledger}"


def _open(sources: PaymentSources) -> Iterator[str]:
    payment = sources.payment
    if payment is not None:
        yield from (f"{each.key} is open" for each in payment.intents if each.status is IntentStatus.OPEN)
        yield from (f"authorization {each.number} is open" for each in payment.authorizations if each.state == "open")


def _wrong_end(sources: PaymentSources, refunded: Decimal) -> Iterator[str]:
    status, sums = sources.status, sources.provider
    if not status.ended:
        yield f"not ended, at {status.step}"
    elif sums.authorized != sums.captured:
        yield f"{sums.authorized - sums.captured} are still authorized"
    elif status.step in SHIPPED and (sums.captured, sums.refunded) != (status.payment.amount, refunded):
        yield f"{status.step} with {sums.captured} captured, {sums.refunded} refunded instead of {refunded}"
    elif status.step not in SHIPPED and sums.captured != sums.refunded:
        yield f"{status.step} with {sums.captured} captured, {sums.refunded} refunded"


def _sums(row: Mapping[str, Any]) -> Sums:
    return Sums(*(to_decimal(row[name], row["currency"]) for name in Sums._fields))
