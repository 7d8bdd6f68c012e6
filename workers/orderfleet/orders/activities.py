"""Activities of the order worker on the order alone: receive, validate, record.

They use the order store, and must never use Kubernetes or a Temporal client. Each is idempotent: run again after its
result was lost, it has no second effect. Those on the payment are in `payment_activities`.
"""

from __future__ import annotations

from temporalio import activity

from orderfleet.domain.activities import (
    ReceiveInput,
    RecordInput,
    StepInput,
    StepResult,
    ValidateInput,
    ValidateResult,
)
from orderfleet.domain.errors import InvalidOrder
from orderfleet.domain.payment import AmountLimits
from orderfleet.domain.policy import AddressChecks
from orderfleet.domain.ports import OrderStore
from orderfleet.domain.validation import DEFAULT_ADDRESS_CHECKS, limit_problems, problems
from orderfleet.providers.interfaces import PaymentProvider
from orderfleet.temporal.step_interceptors import attempt_of


class OrderActivities:
    """Activities on the order store.

    Args:
        store: the order store.
        provider: the payment provider, whose limits an amount keeps.
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
        limits = AmountLimits() if wrong else self._provider.limits(step.order.currency)
        if wrong := wrong or limit_problems(step.order, limits):
            raise InvalidOrder("; ".join(wrong))
        await self._store.record(step.order_id, step.progress)
        own = step.order.policy.address_checks is None
        checks = self._address_checks if own else None
        return ValidateResult(**dict(_done(step)), address_checks=checks, limits=limits)

    @activity.defn(name="record")
    async def record(self, step: RecordInput) -> StepResult:
        """Record progress; one round trip."""
        await self._store.record(step.order_id, step.progress)
        return _done(step)


def _done(step: StepInput) -> StepResult:
    return StepResult(attempt=attempt_of(step))
