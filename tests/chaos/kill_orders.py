"""Orders that together make every call of payment provider and carrier, so that their workers are killed in each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from chaos.kill_moments import Call, Moment, Reached
from chaos.kills import Run
from orderfleet.domain import names
from orderfleet.domain.order import CaptureMode, Item, OrderInput, PaymentTerms
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.policy import StepPolicy
from orderfleet.domain.refunds import RefundOrder, RefundResult
from orderfleet.domain.status import OrderStatus, Step

REFUND: Final = Decimal("1.50")
"""Amount of each refund that a customer asks for."""
NOT_SHIPPED: Final = "refuse-dispatch"


@dataclass(frozen=True)
class OrderKind:
    """Orders of one course."""

    calls: tuple[Call, ...]
    """What they ask of the providers, unless they are canceled."""
    on_shipment: bool = False
    sku: str = "widget"
    method: str = ""
    refunds: int = 0
    """Refunds that the customer asks for after the parcel has left."""
    policy: Mapping[str, Any] = field(default_factory=dict)
    """Changes of the policy."""


KINDS: Final = (
    OrderKind((Call.CHARGE, Call.BOOKING, Call.PARTIAL_REFUND, Call.PARTIAL_REFUND), refunds=2),
    OrderKind((Call.CHARGE, Call.REFUND), sku=NOT_SHIPPED),
    # The provider answers after the end of the only attempt.
    OrderKind((Call.CHARGE, Call.VOID), policy={"charge": StepPolicy(attempt_timeout="100ms", attempts=1)}),
    OrderKind((Call.AUTHORIZE, Call.CAPTURE, Call.BOOKING, Call.PARTIAL_REFUND), on_shipment=True, refunds=1),
    OrderKind((Call.AUTHORIZE, Call.CAPTURE, Call.REFUND), on_shipment=True, sku=NOT_SHIPPED),
    # Held until it is canceled.
    OrderKind(
        (Call.AUTHORIZE, Call.RELEASE),
        on_shipment=True,
        method="refuse_capture",
        policy={"payment_hold": timedelta(milliseconds=500)},
    ),
)


@dataclass
class Tally:
    """The kills of all runs, by call and the moment that each has really met, and those to reach."""

    wanted: Mapping[tuple[Call, Moment], int]
    kills: Counter[tuple[Call, Moment]] = field(default_factory=Counter)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once there were enough."""

    def count(self, call: Call, moment: Moment) -> None:
        """Count a kill."""
        self.kills[call, moment] += 1
        if not self.missing():
            self.stop.set()

    def missing(self) -> Counter[Call]:
        """Kills that each call still needs."""
        needed: Counter[Call] = Counter()
        for (call, moment), number in self.wanted.items():
            needed[call] += max(0, number - self.kills[call, moment])
        return +needed

    def wants(self, reached: Reached) -> bool:
        """Whether a kill at this moment is needed."""
        target = (reached.call, reached.moment)
        return self.kills[target] < self.wanted.get(target, 0)


@dataclass(kw_only=True)
class CallsRun(Run):
    """A run of orders of the kinds whose calls still need kills."""

    tally: Tally
    orders: dict[int, tuple[OrderInput, OrderKind]] = field(default_factory=dict)
    refunded: Counter[str] = field(default_factory=Counter)
    """Refunds that customers asked for, by order."""

    def order(self, number: int) -> OrderInput:
        missing, plain = self.tally.missing(), super().order(number)
        weights = [sum(missing[call] for call in kind.calls) for kind in KINDS]
        (kind,) = self.rng.choices(KINDS, weights if any(weights) else None)
        capture = CaptureMode.ON_SHIPMENT if kind.on_shipment else CaptureMode.IMMEDIATE
        changes = {
            "items": (Item(sku=kind.sku, qty=1, price="5.00"),),
            "payment": PaymentTerms(capture=capture, method=kind.method),
            "policy": plain.policy.model_copy(update=dict(kind.policy)),
        }
        self.orders[number] = plain.model_copy(update=changes), kind
        return self.orders[number][0]

    async def run_order(self, number: int) -> OrderStatus:
        """Run an order, and refund what its customer asks for."""
        status = await super().run_order(number)
        order, kind = self.orders[number]
        if status.step is Step.SHIPPED:
            # Equal ones at the same moment are several.
            results = await asyncio.gather(*(self._refund(order, f"r{count}") for count in range(kind.refunds)))
            assert not any(result.failure for result in results), results
            self.refunded[order.order_id] = kind.refunds
        return status

    async def _refund(self, order: OrderInput, refund_id: str) -> RefundResult:
        payment = PaymentIntent(
            payment_id=order.payment_id, order_id=order.order_id, amount=order.amount, currency=order.currency
        )
        refund = RefundOrder(
            order_id=order.order_id,
            payment=payment,
            reason="late",
            policy=order.policy,
            refund_id=refund_id,
            amount=int(REFUND * 100),
        )
        result: RefundResult = await self.temporal.execute_workflow(
            names.REFUND_WORKFLOW,
            refund,
            id=names.refund_workflow_id(payment.payment_id, refund_id=refund_id),
            task_queue=self.queues.orders,
            memo=refund.memo(),
            result_type=RefundResult,
        )
        return result
