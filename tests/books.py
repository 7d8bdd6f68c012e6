"""What the provider and the carrier say happened, and what must hold between them and the record."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

from orderfleet.domain.status import OrderStatus, PaymentStatus, ShipmentStatus, Step

SHIPPED = {Step.SHIPPED, Step.DELIVERED}
ENDS = {*SHIPPED, Step.CANCELED, Step.FAILED}
GIVEN_BACK = {PaymentStatus.REFUNDED, PaymentStatus.VOIDED, PaymentStatus.FAILED, None}


class Books:
    """The simulated provider's and carrier's ledgers, read from outside."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def money(self) -> Counter[tuple[str, str]]:
        """How often each kind of entry stands for each payment."""
        return Counter(self._read("select kind, payment_id from payment_entries"))

    def parcels(self) -> Counter[str]:
        """Parcels that left, by order."""
        return Counter(row[0] for row in self._read("select order_id from carrier_parcels where not voided"))

    def moments(self) -> dict[str, int]:
        """The last entry of each kind: a new one means that somebody is about to be told of it."""
        found = dict(self._read("select kind, max(id) from payment_entries group by kind"))
        found.update(self._read("select 'booking', max(id) from carrier_parcels where true having max(id) > 0"))
        return found

    def _read(self, query: str) -> list[tuple]:
        if not self._path.exists():
            return []
        with sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=30) as books:
            try:
                return books.execute(query).fetchall()
            except sqlite3.OperationalError:
                return []  # the first worker makes the tables


def wrong(order_id: str, status: OrderStatus, money: Counter[tuple[str, str]], parcels: Counter[str]) -> list[str]:
    """What is not as promised of one ended order."""
    if status.step not in ENDS:
        return [f"stuck at {status.step}"]
    return [*wrong_money(status, money), *wrong_parcels(order_id, status, parcels)]


def wrong_money(status: OrderStatus, money: Counter[tuple[str, str]]) -> list[str]:
    """What is not as promised of an ended order's money, at the provider and in the record."""
    charges, given_back = money["charge", status.payment.id], money["refund", status.payment.id]
    found = []
    if charges > 1:
        found.append(f"charged {charges} times")
    if given_back > charges:
        found.append(f"given back {given_back} of {charges} charges")
    if status.step in SHIPPED:
        if (charges, given_back) != (1, 0):
            found.append(f"{status.step} with {charges} charges, {given_back} given back")
        if status.payment.status is not PaymentStatus.CHARGED:
            found.append(f"{status.step}, and its payment is {status.payment.status}")
    else:
        if charges != given_back:
            found.append(f"{status.step} with {charges} charges, {given_back} given back")
        if status.payment.status not in GIVEN_BACK:
            found.append(f"{status.step}, and its payment is {status.payment.status}")
        if status.payment.status is PaymentStatus.REFUNDED and not given_back:
            found.append("refunded in the record, and not by the provider")
    return found


def wrong_parcels(order_id: str, status: OrderStatus, parcels: Counter[str]) -> list[str]:
    """What is not as promised of an ended order's parcels, at the carrier and in the record."""
    found = []
    if parcels[order_id] != int(status.step in SHIPPED):
        found.append(f"{status.step} with {parcels[order_id]} parcels")
    if status.step in SHIPPED and (
        not status.shipments or status.shipments[-1].status not in {ShipmentStatus.DISPATCHED, ShipmentStatus.DELIVERED}
    ):
        last = status.shipments[-1].status if status.shipments else "not there"
        found.append(f"{status.step}, and its shipment is {last}")
    return found
