"""Payment adapters that are wrong in one respect each, by the case of the conformance suite that must find it.

Each one is a simulated provider whose answers or effects one method changes, in the situation of that case only.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from orderfleet.domain.errors import AuthorizationLapsed, PaymentRefused, PaymentVoided
from orderfleet.domain.money import EXPONENTS, to_decimal
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import (
    AmountLimits,
    Capture,
    CaptureIntent,
    Charge,
    PaymentIntent,
    ProviderPayment,
    Refund,
    RefundIntent,
    VoidOutcome,
)
from orderfleet.providers.conformance.bench import Options
from orderfleet.providers.payments.simulated import SimulatedPayments

OPTIONS = Options(declined_method="refuse", pending_method="pending", lapsing_method="lapse:50ms")

LIMITS = {"USD": AmountLimits(minimum=50), "KWD": AmountLimits(step=10, minimum=100)}


class RightAdapter(SimulatedPayments):
    """A simulated provider with limits that prepares payments and can lose an answer."""

    def __init__(self) -> None:
        super().__init__(limits=LIMITS)
        self.answers: dict[str, Any] = {}
        """Of each charge, authorization, capture and refund, by method and key."""
        self.losing = False

    @asynccontextmanager
    async def lose_answer(self) -> AsyncIterator[None]:
        self.losing = True
        yield
        self.losing = False

    async def prepare(self, _payment: PaymentIntent, _capture: CaptureMode) -> str:
        return f"prepared_{uuid.uuid4().hex}"

    async def charge(self, payment: PaymentIntent) -> Charge:
        made = await super().charge(payment)
        prepared = (payment.reference or "").startswith("prepared_")
        return made.model_copy(update={"reference": payment.reference}) if prepared else made

    def kinds(self, payment: PaymentIntent) -> Counter[str]:
        """The number of entries by kind."""
        entries = self.ledger.entries(payment.payment_id)
        return Counter(entry.kind for entry in entries if entry.number == payment.number)

    def move(self, kind: str, payment: PaymentIntent, amount: int) -> str:
        """Move money that no right provider would move."""
        return self.ledger.move(kind, payment.payment_id, to_decimal(amount, payment.currency), payment.number)


Wrong = type[RightAdapter]

WRONG: dict[str, Wrong] = {}
"""By the name of the case."""


def fails(case: str) -> Callable[[Wrong], Wrong]:
    """Register an adapter that fails only `case`."""

    def register(adapter: Wrong) -> Wrong:
        WRONG[case] = adapter
        return adapter

    return register


def _payment(argument: Any) -> PaymentIntent:
    return argument if isinstance(argument, PaymentIntent) else argument.payment


def _plain(argument: Any) -> bool:
    """Whether the call is that of the cases of repeated calls: no case of a method, nothing prepared."""
    payment = _payment(argument)
    return not payment.method and not (payment.reference or "").startswith("prepared_")


def _again(adapter: RightAdapter, method: str, argument: Any) -> None:
    """Have the effect of a call a second time."""
    if method == "authorize":
        adapter.answers[f"twice {argument.key}"] = True
    else:
        kind = {"charge": "capture", "capture": "capture"}.get(method, "refund")
        adapter.move(kind, _payment(argument), argument.amount)


class ListsTwice(RightAdapter):
    """Lists an authorization twice that was made twice."""

    async def payments(self, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        async for each in super().payments(since, until):
            yield each
            if self.answers.get(f"twice {each.payment_id}"):
                yield each


def _with(method: str, call: Callable[[Any, Callable[[Any], Any], Any], Any]) -> Wrong:
    """An adapter one method of which is `call`, which gets the adapter, the right method and the argument."""

    class Made(ListsTwice):
        pass

    async def replaced(self: Made, argument: Any) -> Any:
        return await call(self, getattr(super(Made, self), method), argument)

    setattr(Made, method, replaced)
    return Made


def _other_reference_when_repeated(method: str) -> Wrong:
    async def call(adapter: RightAdapter, right: Any, argument: Any) -> Any:
        answer = await right(argument)
        if argument.key in adapter.answers and _plain(argument):
            other = VoidOutcome.NEVER_CHARGED
            return other if method == "void" else answer.model_copy(update={"reference": uuid.uuid4().hex})
        adapter.answers[argument.key] = answer
        return answer

    return _with(method, call)


def _forgets_a_call_whose_answer_is_lost(method: str) -> Wrong:
    async def call(adapter: RightAdapter, right: Any, argument: Any) -> Any:
        answer = await right(argument)
        if adapter.losing:
            adapter.answers[f"lost {argument.key}"] = True
        elif adapter.answers.pop(f"lost {argument.key}", False) and _plain(argument):
            _again(adapter, method, argument)
        return answer

    return _with(method, call)


def _acts_for_each_concurrent_call(method: str) -> Wrong:
    running: dict[str, int] = defaultdict(int)

    async def call(adapter: RightAdapter, right: Any, argument: Any) -> Any:
        running[argument.key] += 1
        try:
            await asyncio.sleep(0)
            answer = await right(argument)
            if running[argument.key] > 1:
                _again(adapter, method, argument)
            return answer
        finally:
            running[argument.key] -= 1

    return _with(method, call)


def _does_not_compare_content(method: str) -> Wrong:
    async def call(adapter: RightAdapter, right: Any, argument: Any) -> Any:
        try:
            adapter.answers[argument.key] = await right(argument)
        except PaymentRefused:
            if argument.key not in adapter.answers:
                raise
        return adapter.answers[argument.key]

    return _with(method, call)


for _method in ("charge", "authorize", "capture", "refund", "void"):
    fails(f"{_method}-repeated")(_other_reference_when_repeated(_method))
    fails(f"{_method}-answer-lost")(_forgets_a_call_whose_answer_is_lost(_method))
    fails(f"{_method}-concurrent")(_acts_for_each_concurrent_call(_method))
    if _method != "void":
        fails(f"{_method}-other-content")(_does_not_compare_content(_method))


@fails("prepared-charge")
class ForgetsThePreparedReference(RightAdapter):
    async def charge(self, payment: PaymentIntent) -> Charge:
        return await super().charge(payment.model_copy(update={"reference": None}))


def _drops_decimals(decimals: int) -> Wrong:
    unit = 1000 if decimals > 2 else 100

    async def call(adapter: RightAdapter, right: Any, payment: PaymentIntent) -> Any:
        allowed = payment.amount % adapter.limits(payment.currency).step == 0
        if EXPONENTS[payment.currency] == decimals and payment.amount > unit and allowed:
            payment = payment.model_copy(update={"amount": payment.amount // unit * unit})
        return await right(payment)

    return _with("charge", call)


for _decimals in (0, 2, 3):
    fails(f"currency-with-{_decimals}-decimals")(_drops_decimals(_decimals))


@fails("limits")
class ChargesAnyAmount(RightAdapter):
    def _check(self, amount: int, currency: str, minimum: int = 0) -> None:
        pass


@fails("refunds-in-part")
class SkipsTheRefundThatCompletes(RightAdapter):
    async def refund(self, refund: RefundIntent) -> Refund:
        entries = self.ledger.entries(refund.payment.payment_id)
        refunded = sum((each.amount for each in entries if each.kind == "refund"), Decimal(0))
        left = refund.payment.decimal_amount - refunded
        if refunded and refund.decimal_amount == left and not any(each.kind == "void" for each in entries):
            return Refund(reference="skipped")
        return await super().refund(refund)


@fails("refunds-equal")
class TakesEqualRefundsForOne(RightAdapter):
    async def refund(self, refund: RefundIntent) -> Refund:
        amounts = self.answers.setdefault(refund.payment.payment_id, {})
        if amounts.get(refund.amount, refund.key) != refund.key:
            return Refund(reference="the same")
        made = await super().refund(refund)
        amounts.setdefault(refund.amount, refund.key)
        return made


@fails("refund-above-captured")
class RefundsMoreThanIsLeft(RightAdapter):
    async def refund(self, refund: RefundIntent) -> Refund:
        try:
            return await super().refund(refund)
        except PaymentRefused as error:
            if self.kinds(refund.payment)["refund"] and "left to refund" in str(error):
                return Refund(reference=self.move("refund", refund.payment, refund.amount))
            raise


@fails("refund-without-capture")
class RefundsAnAuthorization(RightAdapter):
    async def refund(self, refund: RefundIntent) -> Refund:
        try:
            return await super().refund(refund)
        except PaymentRefused:
            if self.kinds(refund.payment).keys() == {"authorize"}:
                return Refund(reference="from nothing")
            raise


@fails("capture-in-part")
class CapturesAfterTheFinalOne(RightAdapter):
    async def capture(self, capture: CaptureIntent) -> Capture:
        try:
            return await super().capture(capture)
        except PaymentRefused:
            if capture.number > 1:
                return Capture(reference="more")
            raise


@fails("captures-several")
class ReleasesTheRestAlways(RightAdapter):
    async def capture(self, capture: CaptureIntent) -> Capture:
        return await super().capture(capture.model_copy(update={"final": True}))


@fails("capture-above-authorized")
class CapturesWhatThereIs(RightAdapter):
    async def capture(self, capture: CaptureIntent) -> Capture:
        amount = min(capture.amount, capture.payment.amount)
        return await super().capture(capture.model_copy(update={"amount": amount}))


@fails("capture-after-lapse")
class DoesNotSayThatItLapsed(RightAdapter):
    async def capture(self, capture: CaptureIntent) -> Capture:
        try:
            return await super().capture(capture)
        except AuthorizationLapsed as error:
            raise PaymentRefused(str(error)) from error


def _answers_void(wrong: VoidOutcome, when: Callable[[Counter[str], PaymentIntent], bool]) -> Wrong:
    async def call(adapter: RightAdapter, right: Any, payment: PaymentIntent) -> VoidOutcome:
        matches = when(adapter.kinds(payment), payment)
        outcome: VoidOutcome = await right(payment)
        return wrong if matches else outcome

    return _with("void", call)


fails("void-after-charge")(
    _answers_void(VoidOutcome.RELEASED, lambda kinds, _: kinds["charge"] == 1 and kinds["refund"] == kinds["void"])
)
fails("void-after-capture")(_answers_void(VoidOutcome.RELEASED, lambda kinds, _: kinds["capture"] == 1))
fails("void-of-authorization")(_answers_void(VoidOutcome.NEVER_CHARGED, lambda kinds, _: kinds == {"authorize": 1}))
fails("void-of-pending")(_answers_void(VoidOutcome.RELEASED, lambda _, payment: payment.method == "pending"))


@fails("void-after-refund")
class VoidRefundsEverythingAgain(RightAdapter):
    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        entries = self.ledger.entries(payment.payment_id)
        for each in [each for each in entries if each.kind == "refund" and "/refund/" in each.key]:
            self.ledger.move("refund", payment.payment_id, each.amount)
        return await super().void(payment)


def _refuses_where_voided(method: str, when: Callable[[Counter[str], Any], bool] = lambda _, __: True) -> Wrong:
    async def call(adapter: RightAdapter, right: Any, argument: Any) -> Any:
        try:
            return await right(argument)
        except PaymentVoided as error:
            if when(adapter.kinds(_payment(argument)), argument):
                raise PaymentRefused(str(error)) from error
            raise

    return _with(method, call)


fails("charge-late-after-void")(
    _refuses_where_voided("charge", lambda kinds, payment: not kinds["charge"] and not payment.method)
)
fails("charge-again-after-void")(_refuses_where_voided("charge", lambda kinds, _: bool(kinds["charge"])))
fails("authorize-late-after-void")(_refuses_where_voided("authorize"))
fails("capture-after-void")(_refuses_where_voided("capture"))
fails("refund-after-void")(_refuses_where_voided("refund"))


@fails("void-leaves-next-authorization")
class VoidsTheWholePayment(RightAdapter):
    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        following = payment.model_copy(update={"number": payment.number + 1})
        if self.kinds(following):
            await super().void(following)
        return await super().void(payment)
