"""Cases of what the provider says of its books: look-ups, refusals, pending payments and the list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from orderfleet.domain.errors import PaymentRefused
from orderfleet.domain.payment import MovementKind, PaymentIntent, ProviderPayment, ProviderStatus
from orderfleet.providers.conformance.bench import Bench, NotApplicable, expect
from orderfleet.providers.conformance.case import Case
from orderfleet.providers.conformance.repeated_calls import authorized, charged

_LONG_AGO: Final = timedelta(days=2)


def _expect_state(found: ProviderPayment, payment: PaymentIntent, status: ProviderStatus, authorized: int) -> None:
    wanted = (
        payment.payment_id,
        payment.number,
        payment.order_id,
        payment.amount,
        payment.currency,
        status,
        authorized,
    )
    seen = (
        found.payment_id,
        found.number,
        found.order_id,
        found.amount,
        found.currency,
        found.status,
        found.authorized,
    )
    expect(f"the payment {wanted}", seen == wanted, seen)


async def _nothing(bench: Bench) -> None:
    found = await bench.call(bench.provider.look_up, bench.payment())
    expect("look_up of an unknown payment answers None", found is None, found)


async def _charge(bench: Bench) -> None:
    payment = await charged(bench)
    _expect_state(await bench.books(payment), payment, ProviderStatus.CAPTURED, payment.amount)


async def _authorization(bench: Bench) -> None:
    payment = await authorized(bench)
    _expect_state(await bench.books(payment), payment, ProviderStatus.AUTHORIZED, payment.amount)


async def _capture(bench: Bench) -> None:
    payment = await authorized(bench)
    await bench.call(bench.provider.capture, bench.capture_of(payment, bench.amount(payment.currency, 1)))
    _expect_state(await bench.books(payment), payment, ProviderStatus.CAPTURED, payment.amount)


async def _voided(bench: Bench) -> None:
    payment = await authorized(bench)
    await bench.call(bench.provider.void, payment)
    found = await bench.books(payment)
    expect("the status voided", found.status is ProviderStatus.VOIDED, str(found.status))


async def _movements(bench: Bench) -> None:
    payment = await authorized(bench)
    capture = bench.capture_of(payment)
    refund = bench.refund_of(payment, bench.amount(payment.currency, 1))
    references = (
        (await bench.call(bench.provider.capture, capture)).reference,
        (await bench.call(bench.provider.refund, refund)).reference,
    )
    books = await bench.books(payment)
    kinds, keys = (MovementKind.CAPTURED, MovementKind.REFUNDED), (capture.key, refund.key)
    wanted = sorted(zip(kinds, keys, references, strict=True))
    seen = sorted((each.kind, each.key, each.reference) for each in books.movements)
    expect(f"the movements {wanted}", seen == wanted, seen)


async def _without_reference(bench: Bench) -> None:
    payment = await charged(bench)
    found = await bench.books(payment.model_copy(update={"reference": None}))
    expect(f"the reference {payment.reference}", found.reference == payment.reference, found.reference)


async def _declined(bench: Bench) -> None:
    if not bench.options.declined_method:
        raise NotApplicable("no method that is declined is given")
    payment = bench.payment(method=bench.options.declined_method)
    await bench.refused(bench.provider.charge, payment, PaymentRefused, "a declined charge")
    found = await bench.call(bench.provider.look_up, payment)
    status = None if found is None else found.status
    expect("look_up answers None or failed", status in {None, ProviderStatus.FAILED}, str(status))
    if found is not None:
        expect("a reason of the failure", bool(found.reason), "an empty one")


async def _declined_may_be_retried(bench: Bench) -> None:
    if not bench.options.declined_method:
        raise NotApplicable("no method that is declined is given")
    payment = bench.payment(method=bench.options.declined_method)
    await bench.refused(bench.provider.charge, payment, PaymentRefused, "a declined charge")
    await bench.call(bench.provider.charge, payment.model_copy(update={"method": bench.options.method}))
    await bench.expect_money(payment, captured=payment.amount)


async def _pending(bench: Bench) -> None:
    if not bench.options.pending_method:
        raise NotApplicable("no method that waits for the customer is given")
    payment = bench.payment(method=bench.options.pending_method)
    first = await bench.call(bench.provider.charge, payment)
    expect("a charge that is pending", first.pending is not None, first)
    again = await bench.call(bench.provider.charge, payment)
    expect(f"the same pending charge {first.reference}", again.reference == first.reference, again.reference)
    payment = payment.model_copy(update={"reference": first.reference})
    found = await bench.books(payment)
    _expect_state(found, payment, ProviderStatus.PENDING, 0)
    await bench.expect_money(payment, captured=0)


async def _listed(bench: Bench) -> None:
    payment = await charged(bench)
    await bench.call(bench.provider.refund, bench.refund_of(payment, bench.amount(payment.currency, 1)))
    entries = await bench.listed(payment)
    expect(f"{payment.key} once in the list", len(entries) == 1, f"{len(entries)} times")
    books = await bench.books(payment)
    expect("the list has what look_up has", entries[0] == books, f"{entries[0]!r}, where look_up has {books!r}")


async def _listed_by_time(bench: Bench) -> None:
    payment = await charged(bench)
    entries = await bench.listed(payment, since=datetime.now(UTC) - _LONG_AGO)
    expect(f"{payment.key} not in the list of an earlier time", not entries, entries)


CASES: Final = (
    Case("look-up-nothing", "a look-up of an unknown payment answers None", _nothing),
    Case("look-up-charged", "a look-up shows a charge", _charge),
    Case("look-up-authorized", "a look-up shows an authorization", _authorization),
    Case("look-up-captured", "a look-up shows an authorization that was captured in part", _capture),
    Case("look-up-voided", "a look-up shows a void", _voided),
    Case("look-up-movements", "a look-up shows each movement with its key and its reference", _movements),
    Case("look-up-without-reference", "a look-up finds a payment by its key", _without_reference),
    Case("declined", "a declined charge is refused, and a look-up says so", _declined),
    Case("declined-retried", "a declined charge may be tried again with another method", _declined_may_be_retried),
    Case("pending", "a charge that waits for the customer is pending, and moves no money", _pending),
    Case("list", "the list has a payment once, as a look-up shows it", _listed),
    Case("list-by-time", "the list of an earlier time does not have the payment", _listed_by_time),
)
