"""Activities of the order worker: receive, validate, record, charge, void, refund.

They use the order store and the payment provider, and must never use Kubernetes or a Temporal client. Each is
idempotent: run again after its result was lost, it has no second effect.
"""

from __future__ import annotations

import contextlib

from temporalio import activity

from orderfleet.domain.activities import (
    ChargeInput,
    ReceiveInput,
    RecordInput,
    RefundInput,
    RefundStepResult,
    StepInput,
    StepResult,
    ValidateInput,
    ValidateResult,
    VoidInput,
    VoidResult,
)
from orderfleet.domain.errors import InvalidOrder, PaymentConflict, PaymentOutcomeUnknown, PaymentRefused, PaymentVoided
from orderfleet.domain.payment import RefundIntent, VoidOutcome
from orderfleet.domain.policy import AddressChecks
from orderfleet.domain.ports import OrderStore
from orderfleet.domain.status import PaymentStatus
from orderfleet.domain.validation import DEFAULT_ADDRESS_CHECKS, limit_problems, problems
from orderfleet.providers.interfaces import PaymentProvider
from orderfleet.temporal.step_interceptors import AttemptClock, attempt_of


class OrderActivities:
    """Activities on the order store and the payment provider.

    An amount of zero calls no payment provider.

    Args:
        store: the order store.
        provider: the payment provider.
        require_prices: whether an item needs a price where the order's policy does not say, as in a raw start.
        address_checks: how an address is checked where the order's policy does not say.
        unique_reference: whether an order may not have the reference of another one.
    """

    def __init__(
        self,
        store: OrderStore,
        provider: PaymentProvider,
        *,
        require_prices: bool = True,
        address_checks: AddressChecks = DEFAULT_ADDRESS_CHECKS,
        unique_reference: bool = False,
    ) -> None:
        self._store = store
        self._provider = provider
        self._require_prices = require_prices
        self._address_checks = address_checks
        self._unique_reference = unique_reference

    @activity.defn(name="receive")
    async def receive(self, step: ReceiveInput) -> StepResult:
        """Record the order; one round trip.

        Raises:
            OrderConflict: another workflow execution recorded the order id.
            PaymentConflict: the payment id belongs to another order.
            ReferenceConflict: the reference belongs to another order, and references are unique.
        """
        info = activity.info()
        await self._store.receive(
            step.order,
            workflow_id=info.workflow_id or "",
            run_id=info.workflow_run_id or "",
            first_run_id=step.first_run_id,
            started_at=step.started_at,
            progress=step.progress,
            unique_reference=self._unique_reference,
        )
        return _done(step)

    @activity.defn(name="validate")
    async def validate(self, step: ValidateInput) -> ValidateResult:
        """Check the order and record that it is valid; one round trip.

        Raises:
            InvalidOrder: the message names the fields.
        """
        wrong = problems(step.order, require_prices=self._require_prices, address_checks=self._address_checks)
        # An invalid order has no amount, or an unknown currency.
        wrong = wrong or limit_problems(step.order, self._provider.limits(step.order.currency))
        if wrong:
            raise InvalidOrder("; ".join(wrong))
        await self._store.record(step.order_id, step.progress)
        own = step.order.policy.address_checks is None
        return ValidateResult(**dict(_done(step)), address_checks=self._address_checks if own else None)

    @activity.defn(name="record")
    async def record(self, step: RecordInput) -> StepResult:
        """Record progress; one round trip."""
        await self._store.record(step.order_id, step.progress)
        return _done(step)

    @activity.defn(name="charge")
    async def charge(self, step: ChargeInput) -> StepResult:
        """Charge the payment, whose id is the provider's idempotency key; two round trips.

        A payment whose row is charged, refused, voided or refunded is not charged again.

        A refusal ends the payment only if no other attempt can have called the provider: this is the first attempt,
        and it inserted the payment's row. Otherwise an earlier request may still arrive and charge, so the workflow
        voids the payment.

        Raises:
            PaymentRefused: the provider refused the first request for this payment.
            PaymentOutcomeUnknown: the provider refused this request, but another one may still charge.
            PaymentVoided: the payment id can't be charged any more.
            PaymentConflict: the payment id belongs to another order.
        """
        payment = step.payment
        clock = AttemptClock()
        row = await self._store.begin_payment(payment, step.begin)
        if row.status is PaymentStatus.CHARGED:
            # An earlier attempt recorded the charge, and its result was lost.
            await self._store.record(step.order_id, step.done(clock.now()))
            return _done(step)
        if row.status is PaymentStatus.FAILED:
            # The first attempt recorded the refusal; a later one may have called the provider too.
            raise PaymentOutcomeUnknown(f"payment {payment.payment_id} was refused before")
        if row.status is not PaymentStatus.INIT:
            raise PaymentVoided(f"payment {payment.payment_id} is {row.status}; it can't be charged")
        try:
            reference = (await self._provider.charge(payment)).reference if payment.amount else None
        except (PaymentRefused, PaymentVoided) as error:
            refused = isinstance(error, PaymentRefused)
            if refused and not (row.is_new and attempt_of(step) == 1):
                raise PaymentOutcomeUnknown(str(error)) from error
            end = PaymentStatus.FAILED if refused else PaymentStatus.VOIDED
            async with clock.store_deadline():
                await self._store.finish_payment(payment, end, None, progress=step.begin)
            raise
        async with clock.store_deadline():
            status = await self._store.finish_payment(
                payment, PaymentStatus.CHARGED, reference, progress=step.done(clock.now())
            )
        if status is not PaymentStatus.CHARGED:
            # An earlier attempt recorded a refusal while this one called the provider.
            raise PaymentOutcomeUnknown(f"payment {payment.payment_id} is charged, and was {status} before")
        return _done(step)

    @activity.defn(name="void_payment")
    async def void_payment(self, step: VoidInput) -> VoidResult:
        """Make sure that the payment can never charge, and refund its charge; two to four round trips."""
        try:
            # Checked before the call of the provider: the payment of another order must not be refunded.
            await self._store.begin_payment(step.payment)
        except PaymentConflict:
            return VoidResult(attempt=attempt_of(step), outcome=VoidOutcome.NEVER_CHARGED, status=None)
        outcome = VoidOutcome.NEVER_CHARGED
        if step.payment.amount:
            outcome = await self._provider.void(step.payment)
        status = await self._store.finish_payment(
            step.payment, PaymentStatus.VOIDED, None, progress=step.progress, events=step.events
        )
        if status in {PaymentStatus.CHARGED, PaymentStatus.REFUNDING}:
            # The charge was recorded, and its result never reached the workflow.
            await self._store.finish_payment(step.payment, PaymentStatus.REFUNDING, None)
            status = await self._store.finish_payment(step.payment, PaymentStatus.REFUNDED, None)
        return VoidResult(attempt=attempt_of(step), outcome=outcome, status=status)

    @activity.defn(name="refund")
    async def refund(self, step: RefundInput) -> RefundStepResult:
        """Refund the whole charge; two round trips."""
        clock = AttemptClock()
        await self._store.finish_payment(step.payment, PaymentStatus.REFUNDING, None, events=[step.pending])
        if step.payment.amount:
            refund = RefundIntent(payment=step.payment, refund_id="order", amount=step.payment.amount)
            with contextlib.suppress(PaymentVoided):  # The void refunded it.
                await self._provider.refund(refund)
        done = step.done.model_copy(update={"at": clock.now()})
        await self._store.finish_payment(step.payment, PaymentStatus.REFUNDED, None, events=[done])
        return RefundStepResult(attempt=attempt_of(step))


def _done(step: StepInput) -> StepResult:
    return StepResult(attempt=attempt_of(step))
