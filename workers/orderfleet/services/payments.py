"""Payments read from the order store: that of one order, the newest ones, and what finance exports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from orderfleet.domain.errors import StoreUnavailable
from orderfleet.domain.finance import AuthorizationTotal, DayTotal, ExportedEntry, FinanceReader
from orderfleet.domain.ledger import PaymentDetail
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment_ports import PaymentFilter
from orderfleet.domain.status import Cursor, PaymentStatus
from orderfleet.services.deadline import RPC_TIMEOUT, remaining
from orderfleet.services.orders import OrderService
from orderfleet.services.payment_views import PaymentSummary, PaymentWithLedger

_PAGE: Final = 200
_EXPORT_BATCH: Final = 5000


class PaymentService:
    """Reads payments for clients.

    Args:
        orders: finds an order whose charge has not begun.
        reader: of the order store.
        timeout: longest duration of one statement; an open deadline scope may shorten it.
    """

    def __init__(self, orders: OrderService, reader: FinanceReader, *, timeout: timedelta = RPC_TIMEOUT) -> None:
        self._orders = orders
        self._reader = reader
        self._timeout = timeout.total_seconds()

    async def of_order(self, order_id: str) -> PaymentWithLedger:
        """The payment of an order, with its ledger; without entries if the charge has not begun.

        Raises:
            OrderNotFound: there is no such order.
            TemporalUnavailable: the order isn't stored yet, and Temporal did not answer.
            StoreUnavailable: the order store did not answer.
        """
        async with self._limit():
            found = await self._reader.payments_of_order(order_id)
        if found:
            return PaymentWithLedger.of(found[-1])
        status = await self._orders.recorded(order_id)
        payment = status.payment
        nothing = payment.amount * 0
        return PaymentWithLedger(
            order_id=order_id,
            payment_id=payment.id,
            # The payment id of an order that was rejected for it is another order's.
            status=None,
            capture=CaptureMode.IMMEDIATE,
            currency=payment.currency,
            amount=payment.amount,
            **dict.fromkeys(_MOVED, nothing),
            ordered_at=status.created_at,
        )

    async def newest(
        self,
        limit: int,
        *,
        status: PaymentStatus | None = None,
        day: date | None = None,
        currency: str | None = None,
    ) -> tuple[list[PaymentSummary], bool]:
        """The payments of the newest orders, and whether there are more.

        Args:
            limit: the most payments to return.
            status: only those with it.
            day: only those of orders that were started on it, in UTC.
            currency: only those in it.

        Raises:
            StoreUnavailable: the order store did not answer.
        """
        start = None if day is None else datetime.combine(day, time(), UTC)
        wanted = PaymentFilter(
            status=status,
            currency=currency,
            created_from=start,
            created_before=None if start is None else start + timedelta(days=1),
        )
        found: list[PaymentDetail] = []
        cursor: Cursor | None = None
        while True:
            async with self._limit():
                page, cursor = await self._reader.payments_page(
                    wanted, after=cursor, limit=min(_PAGE, limit - len(found))
                )
            found += page
            if cursor is None or len(found) >= limit:
                return [PaymentSummary.of(each) for each in found], cursor is not None

    async def entries(self, first: date | None = None, last: date | None = None) -> AsyncGenerator[list[ExportedEntry]]:
        """All movements of money of a range of days, oldest first, in batches.

        Args:
            first: day in UTC; None for all.
            last: day in UTC, included; None for all.

        Raises:
            StoreUnavailable: the order store did not answer.
        """
        after: ExportedEntry | None = None
        while True:
            async with self._limit():
                batch = await self._reader.entries(first, last, after=after, limit=_EXPORT_BATCH)
            yield batch
            if len(batch) < _EXPORT_BATCH:
                return
            after = batch[-1]

    async def totals(self, first: date | None = None, last: date | None = None) -> list[DayTotal]:
        """What was captured, refunded and charged back, by day and currency. Arguments and errors as of `entries`."""
        async with self._limit():
            return await self._reader.totals(first, last)

    async def open_authorizations(
        self, first: date | None = None, last: date | None = None
    ) -> list[AuthorizationTotal]:
        """What is authorized and not captured, by day and currency. Arguments and errors as of `entries`."""
        async with self._limit():
            return await self._reader.open_authorizations(first, last)

    @asynccontextmanager
    async def _limit(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(remaining(self._timeout)):
                yield
        except TimeoutError as error:
            raise StoreUnavailable("Postgres did not answer in time") from error


_MOVED: Final = ("authorized", "captured", "refunded", "charged_back", "refundable")
