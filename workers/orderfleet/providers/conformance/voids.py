"""Cases of voids: what they release and refund, and what they reject from then on."""

from __future__ import annotations

from typing import Final

from orderfleet.domain.errors import PaymentVoided
from orderfleet.domain.payment import PaymentIntent, VoidOutcome
from orderfleet.providers.conformance.bench import Bench, NotApplicable, expect
from orderfleet.providers.conformance.case import Case
from orderfleet.providers.conformance.repeated_calls import authorized, charged


async def _void(bench: Bench, payment: PaymentIntent, outcome: VoidOutcome) -> None:
    seen = await bench.call(bench.provider.void, payment)
    expect(f"the void answers {outcome}", seen is outcome, str(seen))


async def _after_charge(bench: Bench) -> None:
    payment = await charged(bench)
    await _void(bench, payment, VoidOutcome.REFUNDED)
    await bench.expect_money(payment, captured=payment.amount, refunded=payment.amount)


async def _after_refund(bench: Bench) -> None:
    payment = await charged(bench)
    first, rest = (bench.amount(payment.currency, part) for part in (1, 2))
    await bench.call(bench.provider.refund, bench.refund_of(payment, first))
    await _void(bench, payment, VoidOutcome.REFUNDED)
    await bench.expect_money(payment, refunded=(first, rest))


async def _after_capture(bench: Bench) -> None:
    payment = await authorized(bench)
    part = bench.amount(payment.currency, 2)
    await bench.call(bench.provider.capture, bench.capture_of(payment, part))
    await _void(bench, payment, VoidOutcome.REFUNDED)
    await bench.expect_money(payment, captured=part, refunded=part)


async def _late_charge(bench: Bench) -> None:
    payment = bench.payment()
    await _void(bench, payment, VoidOutcome.NEVER_CHARGED)
    await bench.refused(bench.provider.charge, payment, PaymentVoided, "a charge that arrives after its void")


async def _late_authorization(bench: Bench) -> None:
    payment = bench.payment()
    await _void(bench, payment, VoidOutcome.NEVER_CHARGED)
    await bench.refused(
        bench.provider.authorize, payment, PaymentVoided, "an authorization that arrives after its void"
    )


async def _charge_again(bench: Bench) -> None:
    payment = await charged(bench)
    await bench.call(bench.provider.void, payment)
    await bench.refused(bench.provider.charge, payment, PaymentVoided, "a charge after it was voided")


async def _authorization(bench: Bench) -> None:
    payment = await authorized(bench)
    await _void(bench, payment, VoidOutcome.RELEASED)
    await bench.expect_money(payment, captured=0, refunded=0)


async def _late_capture(bench: Bench) -> None:
    payment = await authorized(bench)
    await bench.call(bench.provider.void, payment)
    await bench.refused(
        bench.provider.capture, bench.capture_of(payment), PaymentVoided, "a capture that arrives after the void"
    )


async def _late_refund(bench: Bench) -> None:
    payment = await charged(bench)
    await bench.call(bench.provider.void, payment)
    late = bench.refund_of(payment, bench.amount(payment.currency, 1))
    await bench.refused(bench.provider.refund, late, PaymentVoided, "a new refund after the void")


async def _next_authorization(bench: Bench) -> None:
    first = await authorized(bench)
    second = first.model_copy(update={"number": 2, "reference": None})
    made = await bench.call(bench.provider.authorize, second)
    second = second.model_copy(update={"reference": made.reference})
    await bench.call(bench.provider.void, first)
    await bench.call(bench.provider.capture, bench.capture_of(second))
    await bench.expect_money(second, captured=second.amount)


async def _pending(bench: Bench) -> None:
    if not bench.options.pending_method:
        raise NotApplicable("no method that waits for the customer is given")
    payment = bench.payment(method=bench.options.pending_method)
    made = await bench.call(bench.provider.charge, payment)
    payment = payment.model_copy(update={"reference": made.reference})
    await _void(bench, payment, VoidOutcome.NEVER_CHARGED)
    await bench.refused(bench.provider.charge, payment, PaymentVoided, "a pending charge after its void")


CASES: Final = (
    Case("void-after-charge", "a void refunds a charge", _after_charge),
    Case("void-after-refund", "a void refunds only what is left", _after_refund),
    Case("void-after-capture", "a void refunds what was captured", _after_capture),
    Case("void-of-authorization", "a void releases an authorization", _authorization),
    Case("void-of-pending", "a void ends what waits for the customer", _pending),
    Case("charge-late-after-void", "a charge that arrives after its void is rejected as voided", _late_charge),
    Case(
        "authorize-late-after-void",
        "an authorization that arrives after its void is rejected as voided",
        _late_authorization,
    ),
    Case(
        "charge-again-after-void",
        "a charge that was made and voided is rejected as voided when it is repeated",
        _charge_again,
    ),
    Case("capture-after-void", "a capture that arrives after the void is rejected as voided", _late_capture),
    Case(
        "refund-after-void",
        "a new refund after the void is rejected as voided, because everything is refunded",
        _late_refund,
    ),
    Case("void-leaves-next-authorization", "a void leaves the next authorization of the payment", _next_authorization),
)
