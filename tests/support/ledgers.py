"""The ledgers of the simulated provider and carrier, and what must hold between them and the order store."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

from orderfleet.domain.status import OrderStatus, PaymentStatus, ShipmentStatus, Step

SHIPPED = {Step.SHIPPED, Step.DELIVERED}
ENDS = {*SHIPPED, Step.CANCELED, Step.FAILED}
REFUNDED_STATUSES = {PaymentStatus.REFUNDED, PaymentStatus.VOIDED, PaymentStatus.FAILED, None}


class Ledgers:
    """Reads the ledgers of the simulated provider and carrier from their file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def money(self) -> Counter[tuple[str, str]]:
        """Return the number of entries by kind and payment."""
        return Counter(self._read("select kind, payment_id from payment_entries"))

    def parcels(self) -> Counter[str]:
        """Return the number of parcels that left, by order."""
        return Counter(row[0] for row in self._read("select order_id from carrier_parcels where not voided"))

    def _read(self, query: str) -> list[tuple]:
        if not self._path.exists():
            return []
        with sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=30) as database:
            try:
                return database.execute(query).fetchall()
            except sqlite3.OperationalError:
                return []  # the first worker creates the tables


def order_errors(
    order_id: str, status: OrderStatus, money: Counter[tuple[str, str]], parcels: Counter[str]
) -> list[str]:
    """Return the violations of one ended order.

    Args:
        order_id: of the order.
        status: in the order store.
        money: entries of the payment ledger, by kind and payment.
        parcels: that left, by order.
    """
    if status.step not in ENDS:
        return [f"not ended, at {status.step}"]
    return [*payment_errors(status, money), *parcel_errors(order_id, status, parcels)]


def payment_errors(status: OrderStatus, money: Counter[tuple[str, str]]) -> list[str]:
    """Return the violations of an ended order's payment, in the ledger and in the order store."""
    charges, refunds = money["charge", status.payment.id], money["refund", status.payment.id]
    found = []
    if charges > 1:
        found.append(f"charged {charges} times")
    if refunds > charges:
        found.append(f"{refunds} refunds of {charges} charges")
    if status.step in SHIPPED:
        if (charges, refunds) != (1, 0):
            found.append(f"{status.step} with {charges} charges, {refunds} refunds")
        if status.payment.status is not PaymentStatus.CHARGED:
            found.append(f"{status.step}, and its payment is {status.payment.status}")
    else:
        if charges != refunds:
            found.append(f"{status.step} with {charges} charges, {refunds} refunds")
        if status.payment.status not in REFUNDED_STATUSES:
            found.append(f"{status.step}, and its payment is {status.payment.status}")
        if status.payment.status is PaymentStatus.REFUNDED and not refunds:
            found.append("refunded in the order store, and not by the provider")
    return found


def parcel_errors(order_id: str, status: OrderStatus, parcels: Counter[str]) -> list[str]:
    """Return the violations of an ended order's parcels, in the ledger and in the order store."""
    found = []
    if parcels[order_id] != int(status.step in SHIPPED):
        found.append(f"{status.step} with {parcels[order_id]} parcels")
    if status.step in SHIPPED and (
        not status.shipments or status.shipments[-1].status not in {ShipmentStatus.DISPATCHED, ShipmentStatus.DELIVERED}
    ):
        last = status.shipments[-1].status if status.shipments else "not there"
        found.append(f"{status.step}, and its shipment is {last}")
    return found
