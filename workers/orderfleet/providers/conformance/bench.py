"""What a case works with: the adapter under test, payments of its own, lost answers, and expectations."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from orderfleet.domain.base import error_message
from orderfleet.domain.errors import OrderfleetError, ProviderUnavailable
from orderfleet.domain.money import EXPONENTS, amount_text
from orderfleet.domain.payment import (
    CaptureIntent,
    MovementKind,
    PaymentIntent,
    ProviderPayment,
    RefundIntent,
)
from orderfleet.providers.interfaces import PaymentProvider

MAX_TRIES: Final = 10
"""Attempts of a call that the adapter answers with `ProviderUnavailable`."""

LONGEST_PAUSE: Final = timedelta(seconds=5)

CONCURRENT_CALLS: Final = 5

_LIST_MARGIN: Final = timedelta(minutes=5)
"""By how much the provider's clock may differ."""

Result = TypeVar("Result")

LoseAnswer = Callable[[], AbstractAsyncContextManager[None]]
"""Makes the provider act on the next call inside the context, and lose the answer to it."""


class Unexpected(AssertionError):
    """The adapter did something else than the case expects.

    Args:
        expected: what the case expects.
        seen: what happened.
    """

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}; saw {seen}")
        self.expected = expected
        self.seen = seen


class NotApplicable(Exception):
    """The case needs something that the provider does not have, or that the options do not name."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the suite has to know of a provider."""

    method: str = ""
    """Token of a means of payment that every charge and authorization accepts at once."""
    declined_method: str = ""
    """Token of one that is declined; without it the cases of refusals are skipped."""
    pending_method: str = ""
    """Token of one that waits for the customer; without it the cases of pending payments are skipped."""
    lapsing_method: str = ""
    """Token of one whose authorizations lapse within a second; without it the case is skipped."""
    currencies: tuple[str, ...] = ("USD", "JPY", "KWD")
    """With 2, 0 and 3 decimals. Other cases use the first."""
    least: int = 3000
    """The least amount of a case, in minor units; a provider's minimum raises it."""

    def __post_init__(self) -> None:
        unknown = [currency for currency in self.currencies if currency not in EXPONENTS]
        if unknown or not self.currencies:
            raise ValueError(f"{', '.join(unknown) or 'no currency'}: name currencies of ISO 4217, such as USD")


@asynccontextmanager
async def discard_result() -> AsyncIterator[None]:
    """Lose the answer of a provider in this process: the suite ignores the call's result."""
    yield


@dataclass
class Bench:
    """One case's access to the adapter."""

    provider: PaymentProvider
    options: Options
    lose_answer: LoseAnswer = discard_result
    _run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    _started: datetime = field(default_factory=lambda: datetime.now(UTC))
    _count: int = 0

    @property
    def currency(self) -> str:
        """The currency of cases that need only one."""
        return self.options.currencies[0]

    def amount(self, currency: str, thirds: int = 3) -> int:
        """Return some thirds of an amount that the provider takes; each is a multiple of its step.

        Args:
            currency: of the amount.
            thirds: how many.
        """
        limits = self.provider.limits(currency)
        least = max(self.options.least // 3, limits.minimum)
        return thirds * limits.step * -(-least // limits.step)

    def payment(self, currency: str = "", method: str | None = None) -> PaymentIntent:
        """Return a payment that no call has named yet.

        Args:
            currency: of the payment; empty for the first of the options.
            method: token; None for the one that is accepted.
        """
        self._count += 1
        currency = currency or self.currency
        return PaymentIntent(
            payment_id=f"conformance-{self._run}-{self._count}",
            order_id=f"conformance-{self._run}",
            currency=currency,
            amount=self.amount(currency),
            method=self.options.method if method is None else method,
        )

    def capture_of(
        self, payment: PaymentIntent, amount: int = 0, number: int = 1, *, final: bool = True
    ) -> CaptureIntent:
        """Return a capture of an authorization; of all of it if no amount is given."""
        return CaptureIntent(payment=payment, number=number, amount=amount or payment.amount, final=final)

    def refund_of(self, payment: PaymentIntent, amount: int = 0, refund_id: str = "first") -> RefundIntent:
        """Return a refund of a payment; of all of it if no amount is given."""
        return RefundIntent(payment=payment, refund_id=refund_id, amount=amount or payment.amount)

    async def call(self, function: Callable[[Any], Awaitable[Result]], argument: Any) -> Result:
        """Call the adapter, again while it is unavailable, as the activities do.

        Args:
            function: of the adapter.
            argument: of the call.

        Raises:
            ProviderUnavailable: it stays unavailable.
        """
        for attempt in range(1, MAX_TRIES + 1):
            try:
                return await function(argument)
            except ProviderUnavailable as error:
                if attempt == MAX_TRIES:
                    raise
                pause = error.retry_after or timedelta(milliseconds=50 * attempt)
                await asyncio.sleep(min(pause, LONGEST_PAUSE).total_seconds())
        raise AssertionError("unreachable")

    async def lose(self, function: Callable[[Any], Awaitable[Any]], argument: Any) -> None:
        """Call the adapter once, whose answer is lost after the provider acted.

        Raises:
            Unexpected: the adapter raised something else than `ProviderUnavailable`.
        """
        try:
            async with self.lose_answer():
                await function(argument)
        except ProviderUnavailable:
            return
        except OrderfleetError as error:
            raise Unexpected("ProviderUnavailable or a result after a lost answer", shown(error)) from error

    async def refused(
        self, function: Callable[[Any], Awaitable[Any]], argument: Any, kind: type[OrderfleetError], what: str
    ) -> None:
        """Expect that a call raises `kind`.

        Args:
            function: of the adapter.
            argument: of the call.
            kind: of the error.
            what: the call, for the message.

        Raises:
            Unexpected: it returned, or raised something else.
        """
        expected = f"{kind.__name__} for {what}"
        try:
            result = await self.call(function, argument)
        except OrderfleetError as error:
            if not isinstance(error, kind):
                raise Unexpected(expected, shown(error)) from error
            return
        raise Unexpected(expected, shown(result))

    async def wait_until(self, moment: datetime | None) -> None:
        """Wait until a time that the provider named is past, by a tenth of a second."""
        remaining = (moment - datetime.now(UTC)).total_seconds() if moment else 0
        await asyncio.sleep(max(0, remaining) + 0.1)

    async def books(self, payment: PaymentIntent) -> ProviderPayment:
        """Return what the provider has of a payment.

        Raises:
            Unexpected: it has nothing.
        """
        found = await self.call(self.provider.look_up, payment)
        if found is None:
            raise Unexpected(f"look_up finds {payment.key}", "None")
        return found

    async def expect_money(self, payment: PaymentIntent, **amounts: int | tuple[int, ...]) -> None:
        """Expect the captures and refunds in the provider's books.

        Args:
            payment: whose books.
            amounts: `captured` and `refunded`, each as one amount or as the amounts of several movements.

        Raises:
            Unexpected: the books have other movements.
        """
        books = await self.books(payment)
        for name, given in amounts.items():
            wanted = sorted(each for each in (given if isinstance(given, tuple) else (given,)) if each)
            seen = sorted(each.amount for each in books.movements if each.kind is MovementKind(name))
            expect(
                f"{name} {_amounts(wanted, payment.currency)} of {payment.key}",
                seen == wanted,
                _amounts(seen, payment.currency),
            )

    async def listed(self, payment: PaymentIntent, since: datetime | None = None) -> list[ProviderPayment]:
        """Return the entries of the provider's list for one charge or authorization.

        Args:
            payment: to find.
            since: start of the time range, which has the length of the margins; None for the time of this case.
        """
        start = since or self._started - _LIST_MARGIN
        until = start + 2 * _LIST_MARGIN if since else datetime.now(UTC) + _LIST_MARGIN
        found = [each async for each in self.provider.payments(start, until)]
        return [each for each in found if (each.payment_id, each.number) == (payment.payment_id, payment.number)]


def expect(expected: str, holds: bool, seen: object) -> None:
    """Raise `Unexpected` unless a condition holds.

    Args:
        expected: the condition in words.
        holds: the condition.
        seen: what was found instead.
    """
    if not holds:
        raise Unexpected(expected, shown(seen))


def shown(value: object) -> str:
    """A value or an error in one line."""
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {error_message(value)}"
    return value if isinstance(value, str) else repr(value)


def _amounts(amounts: Iterable[int], currency: str) -> str:
    return " and ".join(amount_text(amount, currency) for amount in amounts) or "nothing"
