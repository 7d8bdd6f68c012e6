"""Activities of the order worker on the payment: charge, capture, void.

Each stores what it is about to ask, asks the payment provider, and stores the answer. Each is idempotent: run again
after its result was lost, it looks up what the provider has done, and else asks under the same key: a provider may have
forgotten the key. What money may move, the order store decides.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from temporalio import activity

from orderfleet.domain.activities import (
    CapturePaymentInput,
    CapturePaymentResult,
    ChargeInput,
    ChargeResult,
    StepInput,
    VoidInput,
    VoidResult,
)
from orderfleet.domain.errors import (
    AuthorizationLapsed,
    PaymentConflict,
    PaymentOutcomeUnknown,
    PaymentRefused,
    PaymentVoided,
)
from orderfleet.domain.events import AuditEvent, Progress
from orderfleet.domain.ledger import CaptureDecision, CaptureRefusal, PaymentRecord
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import (
    Authorization,
    Capture,
    CaptureIntent,
    Charge,
    MovementKind,
    PaymentIntent,
    ProviderPayment,
    ProviderStatus,
    VoidOutcome,
)
from orderfleet.domain.ports import OrderStore
from orderfleet.domain.status import PaymentStatus, PendingCustomer
from orderfleet.providers.interfaces import PaymentProvider, PreparesPayments
from orderfleet.temporal.step_interceptors import AttemptClock, attempt_of

SETTLED: Final = timedelta(minutes=10)
"""After this time since the last request, what the provider has not done, it will not do."""

_NEW_AUTHORIZATION: Final = {CaptureRefusal.LAPSED, CaptureRefusal.NOT_AUTHORIZED, CaptureRefusal.OTHER_METHOD}


class PaymentActivities:
    """Activities on the payment.

    Args:
        store: the order store.
        provider: the payment provider, which is asked for no amount of 0 (`without_zero_amounts`).
    """

    def __init__(self, store: OrderStore, provider: PaymentProvider) -> None:
        self._store = store
        self._provider = provider

    @activity.defn(name="charge")
    async def charge(self, step: ChargeInput) -> ChargeResult:
        """Charge or authorize the payment, whose id is the provider's idempotency key; two round trips.

        A provider that prepares payments gets a third one, which stores its own id of the payment first. A payment
        that waits for the customer is looked up.

        A refusal ends the payment only if no other attempt can have called the provider: this is the first attempt,
        and it inserted the payment's row. Otherwise an earlier request may still arrive and charge, so the workflow
        voids the payment.

        Raises:
            PaymentRefused: the provider refused the first request for this payment.
            PaymentOutcomeUnknown: the provider refused this request, but another one may still charge.
            PaymentVoided: the payment id can't be charged any more.
            PaymentConflict: the payment id belongs to another order.
        """
        clock = AttemptClock()
        row = await self._store.begin_payment(step.payment, step.begin, capture=step.capture, step=step.limits.step)
        if row.fenced or row.status is PaymentStatus.VOIDED:
            raise PaymentVoided(f"payment {row.payment_id} is voided; it can't be charged")
        if row.status is PaymentStatus.FAILED:
            # The first attempt recorded the refusal; a later one may have called the provider too.
            raise PaymentOutcomeUnknown(f"payment {row.payment_id} was refused before")
        if row.status not in {PaymentStatus.INIT, PaymentStatus.PENDING}:
            # An earlier attempt or a webhook recorded the charge.
            await self._store.record(step.order_id, step.done(clock.now()))
            return _charged(step, row)
        payment = step.payment.model_copy(update={"reference": row.reference})
        waits = row.status is PaymentStatus.PENDING
        answer = await self._looked_up(payment, step.capture) if waits else None
        if answer is None:
            answer = await self._asked(step, payment, row, clock)
        if answer.pending is not None:
            progress = step.pending(answer.pending, clock.now())
            if waits:  # The event is recorded.
                progress = progress.model_copy(update={"events": ()})
            async with clock.store_deadline():
                await self._store.finish_payment(payment, PaymentStatus.PENDING, answer, progress=progress)
            return ChargeResult(attempt=attempt_of(step), status=PaymentStatus.PENDING, pending=answer.pending)
        is_immediate = step.capture is CaptureMode.IMMEDIATE
        status = PaymentStatus.CHARGED if is_immediate else PaymentStatus.AUTHORIZED
        async with clock.store_deadline():
            row = await self._store.finish_payment(payment, status, answer, progress=step.done(clock.now()))
        if row.fenced:
            # The undo began while this attempt called the provider.
            raise PaymentOutcomeUnknown(f"payment {row.payment_id} is {status}, and was being voided")
        return _charged(step, row)

    @activity.defn(name="look_up_payment")
    async def look_up_payment(self, step: ChargeInput) -> ChargeResult:
        """Ask for the outcome of a payment that waits for the customer; as `charge` does for such a one."""
        return await self.charge(step)

    async def _asked(
        self, step: ChargeInput, payment: PaymentIntent, row: PaymentRecord, clock: AttemptClock
    ) -> Charge:
        """The provider's answer to a charge or an authorization; records a refusal."""
        try:
            return await self._take(payment, step.capture, again=not row.is_new)
        except (PaymentRefused, PaymentVoided) as error:
            refused = isinstance(error, PaymentRefused)
            if refused and not (row.is_new and attempt_of(step) == 1):
                raise PaymentOutcomeUnknown(str(error)) from error
            end = PaymentStatus.FAILED if refused else PaymentStatus.VOIDED
            async with clock.store_deadline():
                await self._store.finish_payment(payment, end, progress=step.begin)
            raise

    async def _take(self, payment: PaymentIntent, capture: CaptureMode, *, again: bool) -> Charge:
        """Charge or authorize; the provider's own id is stored first if it has one before.

        Args:
            payment: the charge or the authorization.
            capture: whether it charges or authorizes.
            again: whether the provider may have been asked before.
        """
        found = await self._provider.look_up(payment) if again else None
        if found is not None and _is_of(payment, found) and _is_made(found, capture):
            return _answer(found, capture)
        if payment.reference is None and isinstance(self._provider, PreparesPayments):
            reference = await self._provider.prepare(payment, capture)
            if reference:
                reference = await self._store.set_reference(payment, reference)
                payment = payment.model_copy(update={"reference": reference})
        if capture is CaptureMode.IMMEDIATE:
            return await self._provider.charge(payment)
        return await self._provider.authorize(payment)

    async def _looked_up(self, payment: PaymentIntent, capture: CaptureMode) -> Charge | None:
        """The outcome of a payment that waits for the customer; None if the provider has nothing of it."""
        found = await self._provider.look_up(payment)
        if found is None:
            return None
        if found.status in {ProviderStatus.FAILED, ProviderStatus.VOIDED}:
            # The customer may still try again, and a void may have refunded: the order's own void has the outcome.
            raise PaymentOutcomeUnknown(found.reason or f"payment {payment.payment_id} is {found.status}")
        return _answer(found, capture)

    @activity.defn(name="capture_payment")
    async def capture_payment(self, step: CapturePaymentInput) -> CapturePaymentResult:
        """Capture what is not captured of the payment; two round trips.

        An authorization that has lapsed, or that is of another method, is replaced first.

        Raises:
            PaymentRefused: the provider refuses to capture or to authorize; another method may help.
            PaymentOutcomeUnknown: the provider refused this request, but an earlier one may have captured.
            PaymentVoided: the payment is being undone.
        """
        clock = AttemptClock()
        decision = await self._begin_capture(step)
        if decision.refused in _NEW_AUTHORIZATION:
            await self._authorize_again(step, decision)
            decision = await self._begin_capture(step)
        if decision.captured:
            return CapturePaymentResult(attempt=attempt_of(step))
        if decision.capture is None:
            raise PaymentRefused(f"payment {step.payment.payment_id} can't be captured: {decision.refused}")
        try:
            row = await self._capture(step, decision, decision.capture, clock)
        except AuthorizationLapsed:
            await self._authorize_again(step, decision)
            decision = await self._begin_capture(step)
            if decision.capture is None:
                raise
            row = await self._capture(step, decision, decision.capture, clock)
        if row.fenced:
            raise PaymentVoided(f"payment {step.payment.payment_id} is captured, and was being voided")
        return CapturePaymentResult(attempt=attempt_of(step))

    async def _begin_capture(self, step: CapturePaymentInput) -> CaptureDecision:
        payment = step.payment
        decision = await self._store.begin_capture(payment.payment_id, step.order_id, method=payment.method)
        if decision.refused is CaptureRefusal.FENCED:
            raise PaymentVoided(f"payment {payment.payment_id} is being voided; it can't be captured")
        return decision

    async def _capture(
        self, step: CapturePaymentInput, decision: CaptureDecision, capture: CaptureIntent, clock: AttemptClock
    ) -> PaymentRecord:
        """Ask for a capture and record the answer."""
        answer: Capture | None
        unsure = decision.idle is not None or attempt_of(step) > 1
        try:
            answer = await self._captured_before(capture) if unsure else None
            answer = answer or await self._provider.capture(capture)
        except (PaymentRefused, PaymentVoided) as error:
            lapsed = isinstance(error, AuthorizationLapsed | PaymentVoided)
            # An earlier request may have arrived since.
            answer = await self._captured_before(capture) if unsure else None
            if answer is None:
                if unsure and (decision.idle or 0) < SETTLED.total_seconds():
                    raise PaymentOutcomeUnknown(str(error)) from error
                async with clock.store_deadline():
                    await self._store.finish_capture(capture, None, error=str(error), lapsed=lapsed)
                if lapsed and not isinstance(error, AuthorizationLapsed):
                    raise AuthorizationLapsed(str(error)) from error
                raise
        async with clock.store_deadline():
            return await self._store.finish_capture(capture, answer, events=[step.captured(clock.now())])

    async def _captured_before(self, capture: CaptureIntent) -> Capture | None:
        """The capture that an earlier request made, as the provider has it."""
        found = await self._provider.look_up(capture.payment)
        made = None if found is None else found.movement(MovementKind.CAPTURED, capture.key)
        return None if made is None else Capture(reference=made.reference)

    async def _authorize_again(self, step: CapturePaymentInput, decision: CaptureDecision) -> None:
        """Authorize what is not captured under the next number, with the method of the step.

        Raises:
            PaymentRefused: the provider refuses, or the customer must confirm first.
        """
        if decision.refused is CaptureRefusal.OTHER_METHOD and decision.authorization is not None:
            outcome = await self._provider.void(decision.authorization)
            await self._store.finish_payment(decision.authorization, PaymentStatus.VOIDED, outcome=outcome)
        payment_id = step.payment.payment_id
        begun = await self._store.begin_authorization(payment_id, step.order_id, step.payment.method)
        if begun.refused is CaptureRefusal.FENCED:
            raise PaymentVoided(f"payment {payment_id} is being voided; it can't be authorized")
        if begun.authorization is None:
            return  # Another attempt has authorized or captured since.
        try:
            answer = await self._take(begun.authorization, CaptureMode.ON_SHIPMENT, again=not begun.is_new)
        except (PaymentRefused, PaymentVoided) as error:
            end, outcome = PaymentStatus.FAILED, VoidOutcome.NEVER_CHARGED
            if not begun.is_new or isinstance(error, PaymentVoided):
                # An earlier request may still authorize: voided, it never can.
                end, outcome = PaymentStatus.VOIDED, await self._provider.void(begun.authorization)
            await self._store.finish_payment(begun.authorization, end, outcome=outcome)
            raise PaymentRefused(str(error)) from error
        if answer.pending is not None:
            await self._store.finish_payment(begun.authorization, PaymentStatus.PENDING, answer)
            raise PaymentRefused(f"the customer must confirm the payment: {answer.pending.url}")
        await self._store.finish_payment(begun.authorization, PaymentStatus.AUTHORIZED, answer)

    @activity.defn(name="void_payment")
    async def void_payment(self, step: VoidInput) -> VoidResult:
        """Undo the payment: fence it, void each charge and authorization, which refunds it; two round trips.

        Afterwards the payment can never take money.
        """
        try:
            # Before the call of the provider: the payment of another order must not be refunded.
            return await self._undo(step, step.payment, step.progress, step.events)
        except PaymentConflict:
            return VoidResult(attempt=attempt_of(step), outcome=VoidOutcome.NEVER_CHARGED, status=None)

    async def _undo(
        self, step: StepInput, payment: PaymentIntent, progress: Progress | None, events: tuple[AuditEvent, ...]
    ) -> VoidResult:
        fenced = await self._store.fence_payment(payment)
        row, outcome = fenced.payment, VoidOutcome.NEVER_CHARGED
        # The first one is not open if it was closed before; recording that again changes nothing.
        for index, each in enumerate(opened := fenced.open or (payment,)):
            found = await self._provider.void(each) if fenced.open else VoidOutcome.NEVER_CHARGED
            last = index == len(opened) - 1
            row = await self._store.finish_payment(
                each,
                PaymentStatus.VOIDED,
                outcome=found,
                progress=progress if last else None,
                events=events if last else (),
            )
            outcome = max(outcome, found, key=list(VoidOutcome).index)
        return VoidResult(attempt=attempt_of(step), outcome=outcome, status=row.status)


def _charged(step: ChargeInput, row: PaymentRecord) -> ChargeResult:
    """The result for a payment that holds or has taken money. The status may be a later one, such as a refund's."""
    is_authorized = row.status is PaymentStatus.AUTHORIZED
    status = PaymentStatus.AUTHORIZED if is_authorized else PaymentStatus.CHARGED
    return ChargeResult(attempt=attempt_of(step), status=status)


def _answer(found: ProviderPayment, capture: CaptureMode) -> Charge:
    """The answer to a charge or an authorization, as the provider's books have it."""
    if _is_made(found, capture):
        return Authorization(reference=found.reference, expires_at=found.expires_at)
    return Charge(reference=found.reference, pending=found.pending or PendingCustomer())


def _is_made(found: ProviderPayment, capture: CaptureMode) -> bool:
    """Whether the provider's books have the money, or for a later capture its authorization."""
    authorized = found.status is ProviderStatus.AUTHORIZED and capture is CaptureMode.ON_SHIPMENT
    return authorized or found.status is ProviderStatus.CAPTURED


def _is_of(payment: PaymentIntent, found: ProviderPayment) -> bool:
    """Whether the provider's books have this charge or authorization, and not another one under its key."""
    return (found.order_id, found.currency, found.amount) == (payment.order_id, payment.currency, payment.amount)
