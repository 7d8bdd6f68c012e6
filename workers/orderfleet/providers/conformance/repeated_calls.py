"""Cases of calls that are repeated: after an answer, after a lost answer, at the same time, and with other content."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from orderfleet.domain.errors import PaymentRefused
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import PaymentIntent, VoidOutcome
from orderfleet.providers.conformance.bench import CONCURRENT_CALLS, Bench, NotApplicable, expect
from orderfleet.providers.conformance.case import Case
from orderfleet.providers.interfaces import PreparesPayments


@dataclass(frozen=True)
class Operation:
    """A call of the adapter, what comes before it, and how its effect shows in the books."""

    name: str
    prepare: Callable[[Bench], Awaitable[PaymentIntent]]
    """Make the payment that the call needs; return it."""
    argument: Callable[[Bench, PaymentIntent], Any]
    """The call's argument."""
    captured: bool
    """Whether the whole amount is captured afterwards."""
    refunded: bool = False
    """Whether a third of it, or all of it by a void, is refunded afterwards."""

    def call(self, bench: Bench) -> Callable[[Any], Awaitable[Any]]:
        """The adapter's method."""
        found: Callable[[Any], Awaitable[Any]] = getattr(bench.provider, self.name)
        return found

    async def expect_one_effect(self, bench: Bench, payment: PaymentIntent, how: str) -> None:
        """Expect that the call moved its money once, and that there is one charge or authorization of it."""
        part = payment.amount if self.name == "void" else bench.amount(payment.currency, 1)
        await bench.expect_money(
            payment, captured=payment.amount if self.captured else 0, refunded=part if self.refunded else 0
        )
        if self.name in {"charge", "authorize"}:
            entries = await bench.listed(payment)
            expect(f"one payment {payment.key} in the list after {how}", len(entries) == 1, f"{len(entries)} of them")


async def _new(bench: Bench) -> PaymentIntent:
    return bench.payment()


async def charged(bench: Bench) -> PaymentIntent:
    """A payment that is charged, with its reference."""
    payment = bench.payment()
    made = await bench.call(bench.provider.charge, payment)
    return payment.model_copy(update={"reference": made.reference})


async def authorized(bench: Bench) -> PaymentIntent:
    """A payment that is authorized, with its reference."""
    payment = bench.payment()
    made = await bench.call(bench.provider.authorize, payment)
    return payment.model_copy(update={"reference": made.reference})


OPERATIONS: Final = (
    Operation("charge", _new, lambda _, payment: payment, captured=True),
    Operation("authorize", _new, lambda _, payment: payment, captured=False),
    Operation("capture", authorized, lambda bench, payment: bench.capture_of(payment), captured=True),
    Operation(
        "refund",
        charged,
        lambda bench, payment: bench.refund_of(payment, bench.amount(payment.currency, 1)),
        captured=True,
        refunded=True,
    ),
    Operation("void", charged, lambda _, payment: payment, captured=True, refunded=True),
)


def _replay(operation: Operation) -> Case:
    async def run(bench: Bench) -> None:
        payment = await operation.prepare(bench)
        argument, call = operation.argument(bench, payment), operation.call(bench)
        first = await bench.call(call, argument)
        again = await bench.call(call, argument)
        expect(
            f"the second {operation.name} answers as the first, {_identity(first)}",
            _same(first, again),
            _identity(again),
        )
        await operation.expect_one_effect(bench, payment, "a repeated call")

    return Case(
        f"{operation.name}-repeated", f"a repeated {operation.name} gives the same answer and moves money once", run
    )


def _lost_answer(operation: Operation) -> Case:
    async def run(bench: Bench) -> None:
        payment = await operation.prepare(bench)
        argument, call = operation.argument(bench, payment), operation.call(bench)
        await bench.lose(call, argument)
        await bench.call(call, argument)
        await operation.expect_one_effect(bench, payment, "a lost answer")

    return Case(f"{operation.name}-answer-lost", f"a {operation.name} after a lost answer moves money once", run)


def _concurrent(operation: Operation) -> Case:
    async def run(bench: Bench) -> None:
        payment = await operation.prepare(bench)
        argument, call = operation.argument(bench, payment), operation.call(bench)
        await asyncio.gather(*(bench.call(call, argument) for _ in range(CONCURRENT_CALLS)))
        await operation.expect_one_effect(bench, payment, f"{CONCURRENT_CALLS} calls at the same time")

    return Case(
        f"{operation.name}-concurrent", f"{CONCURRENT_CALLS} calls of {operation.name} at once move money once", run
    )


def _other_content(operation: Operation) -> Case:
    async def run(bench: Bench) -> None:
        payment = await operation.prepare(bench)
        argument, call = operation.argument(bench, payment), operation.call(bench)
        smaller = argument.model_copy(update={"amount": argument.amount - bench.provider.limits(payment.currency).step})
        await bench.call(call, argument)
        await bench.refused(call, smaller, PaymentRefused, f"{operation.name} of another amount under the same key")
        await operation.expect_one_effect(bench, payment, "a call with other content")

    return Case(
        f"{operation.name}-other-content", f"a used key of {operation.name} is refused with another amount", run
    )


async def _prepared_once(bench: Bench) -> None:
    provider = bench.provider
    if not isinstance(provider, PreparesPayments):
        raise NotApplicable("the adapter does not prepare payments")
    payment = bench.payment()
    await provider.prepare(payment, CaptureMode.IMMEDIATE)  # This reference is lost with its worker.
    reference = await provider.prepare(payment, CaptureMode.IMMEDIATE)
    payment = payment.model_copy(update={"reference": reference})
    await bench.lose(provider.charge, payment)
    made = await bench.call(provider.charge, payment)
    expect(f"the charge has the prepared reference {reference}", made.reference == reference, made.reference)
    await bench.expect_money(payment, captured=payment.amount)


def _same(first: Any, again: Any) -> bool:
    return bool(_identity(first) == _identity(again))


def _identity(answer: Any) -> str:
    return str(answer) if isinstance(answer, VoidOutcome) else str(answer.reference)


CASES: Final = (
    *(make(each) for each in OPERATIONS for make in (_replay, _lost_answer, _concurrent)),
    *(_other_content(each) for each in OPERATIONS if each.name != "void"),
    Case("prepared-charge", "a prepared charge has its reference and is made once", _prepared_once),
)
