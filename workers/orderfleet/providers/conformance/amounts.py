"""Cases of amounts: currencies, limits, captures and refunds in part, and more than there is."""

from __future__ import annotations

from typing import Final

from orderfleet.domain.errors import AuthorizationLapsed, PaymentRefused
from orderfleet.domain.money import EXPONENTS
from orderfleet.providers.conformance.bench import Bench, NotApplicable, expect
from orderfleet.providers.conformance.case import Case
from orderfleet.providers.conformance.repeated_calls import authorized, charged


def _currency(decimals: int) -> Case:
    async def run(bench: Bench) -> None:
        currency = next((each for each in bench.options.currencies if EXPONENTS[each] == decimals), None)
        if currency is None:
            raise NotApplicable(f"no currency with {decimals} decimals is among the options")
        # An amount whose last digits a wrong number of decimals would lose.
        step, payment = bench.provider.limits(currency).step, bench.payment(currency)
        payment = payment.model_copy(update={"amount": payment.amount + 7 * step})
        part = bench.amount(currency, 1) + 3 * step
        await bench.call(bench.provider.charge, payment)
        await bench.call(bench.provider.refund, bench.refund_of(payment, part))
        books = await bench.books(payment)
        expect(f"{payment.amount} minor units of {currency}", books.amount == payment.amount, books.amount)
        expect(f"the currency {currency}", books.currency == currency, books.currency)
        await bench.expect_money(payment, captured=payment.amount, refunded=part)

    text = f"amounts of a currency with {decimals} decimals are exact"
    return Case(f"currency-with-{decimals}-decimals", text, run)


async def _limits(bench: Bench) -> None:
    tried = False
    for currency in bench.options.currencies:
        limits, payment = bench.provider.limits(currency), bench.payment(currency)
        wrong = {
            f"{currency}, no multiple of the step": payment.amount + 1 if limits.step > 1 else 0,
            f"{currency}, below the minimum": limits.step * ((limits.minimum - 1) // limits.step),
        }
        for what, amount in wrong.items():
            if amount > 0:
                tried = True
                too_odd = bench.payment(currency).model_copy(update={"amount": amount})
                await bench.refused(bench.provider.charge, too_odd, PaymentRefused, f"a charge of {amount} {what}")
        if limits.minimum:
            least = limits.step * -(-limits.minimum // limits.step)
            smallest = payment.model_copy(update={"amount": least})
            await bench.call(bench.provider.charge, smallest)
            await bench.expect_money(smallest, captured=least)
    if not tried:
        raise NotApplicable("the provider has no limits for these currencies")


async def _two_refunds(bench: Bench, parts: tuple[int, int]) -> None:
    payment = await charged(bench)
    amounts = tuple(bench.amount(payment.currency, part) for part in parts)
    for number, amount in enumerate(amounts):
        await bench.call(bench.provider.refund, bench.refund_of(payment, amount, f"part-{number}"))
    await bench.expect_money(payment, captured=payment.amount, refunded=amounts)


async def _partial_refunds(bench: Bench) -> None:
    await _two_refunds(bench, (1, 2))


async def _equal_refunds(bench: Bench) -> None:
    await _two_refunds(bench, (1, 1))


async def _refund_above_the_rest(bench: Bench) -> None:
    payment = await charged(bench)
    first, rest = (bench.amount(payment.currency, part) for part in (1, 2))
    await bench.call(bench.provider.refund, bench.refund_of(payment, first))
    above = bench.refund_of(payment, rest + bench.provider.limits(payment.currency).step, "above")
    await bench.refused(bench.provider.refund, above, PaymentRefused, "a refund of more than is left")
    await bench.expect_money(payment, refunded=first)


async def _refund_of_nothing(bench: Bench) -> None:
    payment = await authorized(bench)
    part = bench.refund_of(payment, bench.amount(payment.currency, 1))
    await bench.refused(bench.provider.refund, part, PaymentRefused, "a refund of an authorization without a capture")


async def _partial_capture(bench: Bench) -> None:
    payment = await authorized(bench)
    part = bench.amount(payment.currency, 2)
    await bench.call(bench.provider.capture, bench.capture_of(payment, part))
    more = bench.capture_of(payment, bench.amount(payment.currency, 1), 2)
    await bench.refused(bench.provider.capture, more, PaymentRefused, "a capture after the final one")
    await bench.expect_money(payment, captured=part)
    above = bench.refund_of(payment)
    await bench.refused(bench.provider.refund, above, PaymentRefused, "a refund of more than was captured")


async def _several_captures(bench: Bench) -> None:
    payment = bench.payment()
    made = await bench.call(bench.provider.authorize, payment)
    if not made.multiple_captures:
        raise NotApplicable("the authorization allows one capture")
    payment = payment.model_copy(update={"reference": made.reference})
    part = bench.amount(payment.currency, 1)
    for number, final in ((1, False), (2, True)):
        await bench.call(bench.provider.capture, bench.capture_of(payment, part, number, final=final))
    await bench.expect_money(payment, captured=(part, part))


async def _capture_above(bench: Bench) -> None:
    payment = await authorized(bench)
    above = bench.capture_of(payment, payment.amount + bench.provider.limits(payment.currency).step)
    await bench.refused(bench.provider.capture, above, PaymentRefused, "a capture above the authorization")
    await bench.expect_money(payment, captured=0)


async def _capture_after_the_end(bench: Bench) -> None:
    if not bench.options.lapsing_method:
        raise NotApplicable("no method whose authorizations lapse is given")
    payment = bench.payment(method=bench.options.lapsing_method)
    made = await bench.call(bench.provider.authorize, payment)
    expect("expires_at of an authorization that lapses", made.expires_at is not None, made.expires_at)
    await bench.wait_until(made.expires_at)
    capture = bench.capture_of(payment.model_copy(update={"reference": made.reference}))
    await bench.refused(
        bench.provider.capture, capture, AuthorizationLapsed, "a capture after the authorization lapsed"
    )


CASES: Final = (
    *(_currency(decimals) for decimals in (2, 0, 3)),
    Case("limits", "an amount that breaks the limits is refused, and the least one is charged", _limits),
    Case("refunds-in-part", "two refunds of different amounts are two", _partial_refunds),
    Case("refunds-equal", "two refunds of the same amount with two ids are two", _equal_refunds),
    Case(
        "refund-above-captured", "a refund of more than is captured and not refunded is refused", _refund_above_the_rest
    ),
    Case("refund-without-capture", "an authorization without a capture has nothing to refund", _refund_of_nothing),
    Case("capture-in-part", "a final capture of a part closes the authorization", _partial_capture),
    Case("captures-several", "an authorization for several captures takes two", _several_captures),
    Case("capture-above-authorized", "a capture of more than is authorized is refused", _capture_above),
    Case("capture-after-lapse", "a capture after the authorization lapsed is refused as that", _capture_after_the_end),
)
