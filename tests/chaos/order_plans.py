"""The orders of a chaos run, and what their clients do later; the seed of the run determines both."""

from __future__ import annotations

import random
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

PRICE: Final = Decimal("9.99")
QUANTITY: Final = 2
LINE: Final = "1"
"""Id of the only line of an order."""
TOTAL: Final = PRICE * QUANTITY
OTHER_METHOD: Final = "pm_other"
"""The means of payment with which a client captures a held order again; the simulated provider accepts it."""
_METHODS: Final = ("", "refuse_capture", "lapse:1s", "confirm:2s")
"""Means of payment: accepted; each capture refused; an authorization that lapses; confirmed later by the customer."""


class Channel(StrEnum):
    """How an order is sent."""

    HTTP = "http"
    KUBERNETES = "kubernetes"


class Action(StrEnum):
    """What a client does to an order later."""

    APPROVE = "approve"
    REDIRECT = "redirect"
    CANCEL = "cancel"
    CANCEL_PAYMENT = "cancel payment"
    DELETE = "delete"


class Place(StrEnum):
    """Where a client asks for a refund or for another capture."""

    API = "api"
    COMMAND_LINE = "command line"
    SPEC = "spec"
    """Of the Order in Kubernetes; for captures only."""


_PLACES: Final = (Place.API, Place.API, Place.COMMAND_LINE)
"""A command costs a process, so it is drawn half as often."""


@dataclass(frozen=True)
class RefundPlan:
    """A refund, of an amount or of pieces of the order's line."""

    refund_id: str
    places: tuple[Place, ...]
    """Where it is asked for, at the same moment."""
    amount: Decimal | None = None
    pieces: int = 0

    @property
    def value(self) -> Decimal:
        """What it moves if it is accepted."""
        return PRICE * self.pieces if self.amount is None else self.amount


@dataclass(frozen=True)
class PaymentPlan:
    """How an order is paid, and what is refunded of it."""

    on_shipment: bool = False
    method: str = ""
    """The payment provider's token of the means of payment."""
    retried_by: Place | None = None
    """Where the client captures a held order again, with `OTHER_METHOD`; None leaves it held."""
    early: float | None = None
    """Seconds after the order was accepted at which its refunds are asked for; None: after its end."""
    refunds: tuple[tuple[RefundPlan, ...], ...] = ()
    """In groups, one after the other; the refunds of a group are asked for at the same moment."""


@dataclass(frozen=True)
class OrderPlan:
    """One order and its actions, each with the seconds after the order was accepted."""

    order_id: str
    channel: Channel
    manual: bool
    rejected_by: str | None
    """`provider`, `carrier`, or None."""
    deadline: int | None
    """In seconds."""
    actions: tuple[tuple[float, Action], ...]
    payment: PaymentPlan = PaymentPlan()

    @property
    def payment_id(self) -> str:
        """Its payment id; the simulated provider rejects some by prefix."""
        return f"{'refuse' if self.rejected_by == 'provider' else 'pay'}-{self.order_id}"

    @property
    def sku(self) -> str:
        """Its item; the simulated carrier rejects one SKU."""
        return "refuse-dispatch" if self.rejected_by == "carrier" else "widget"

    @property
    def refunds(self) -> int:
        """Number of its requests of refunds."""
        return sum(len(refund.places) for group in self.payment.refunds for refund in group)


def order_plans(seed: int, orders: int) -> list[OrderPlan]:
    """Return the orders of a run: half over HTTP, half in Kubernetes."""
    return [_order_plan(f"{seed}/order/{number}", f"storm-{seed}-{number}", number) for number in range(1, orders + 1)]


def _order_plan(seed: str, order_id: str, number: int) -> OrderPlan:
    rng = random.Random(seed)
    channel = Channel.HTTP if number % 2 else Channel.KUBERNETES
    manual = rng.random() < 0.4
    actions: list[tuple[float, Action]] = []
    if manual and rng.random() < 0.85:
        actions.append((rng.uniform(0, 4), Action.APPROVE))
    if rng.random() < 0.3:
        actions.append((rng.uniform(0, 5), Action.REDIRECT))
    if rng.random() < 0.3:
        actions.append((rng.uniform(0, 6), rng.choice((Action.CANCEL, Action.CANCEL_PAYMENT))))
    is_deleted = False
    if channel is Channel.KUBERNETES:
        actions = [(after, Action.CANCEL if action is Action.CANCEL_PAYMENT else action) for after, action in actions]
        is_deleted = rng.random() < 0.25
        if is_deleted:
            actions.append((rng.uniform(0, 8), Action.DELETE))
    rejected_by = rng.choices(("provider", "carrier", None), (5, 8, 87))[0]
    deadline = rng.randint(5, 15) if rng.random() < 0.05 else None
    payment = _payment_plan(
        random.Random(f"{seed}/payment"), channel, charged=rejected_by != "provider", refunded=not is_deleted
    )
    return OrderPlan(order_id, channel, manual, rejected_by, deadline, tuple(sorted(actions)), payment)


def _payment_plan(rng: random.Random, channel: Channel, *, charged: bool, refunded: bool) -> PaymentPlan:
    """Return how an order is paid.

    Args:
        rng: draws it.
        channel: of the order.
        charged: whether the provider accepts the order's payment id, which another means of payment would overrule.
        refunded: whether a part may be refunded.
    """
    on_shipment = rng.random() < 0.35
    method = rng.choices(_METHODS, (50, 35, 8, 7))[0] if on_shipment and charged else ""
    retried_by = None
    if method == "refuse_capture" and rng.random() < 0.8:
        own = (Place.SPEC,) if channel is Channel.KUBERNETES else ()
        retried_by = rng.choice((*own, *_PLACES))
    early = rng.uniform(1, 6) if rng.random() < 0.3 else None
    groups = rng.choices((0, 1, 2), (55, 35, 10))[0] if refunded else 0
    return PaymentPlan(
        on_shipment, method, retried_by, early, tuple(_refunds(rng, f"part-{number + 1}") for number in range(groups))
    )


def _refunds(rng: random.Random, refund_id: str) -> tuple[RefundPlan, ...]:
    """Return refunds that are asked for at the same moment."""
    place, other = rng.choice(_PLACES), rng.choice(_PLACES)
    two = (Place.API, other)
    amount = Decimal(rng.randint(100, 600)) / 100
    match rng.choices(("amount", "lines", "equal", "rivals", "twice", "too large"), (25, 25, 15, 10, 15, 10))[0]:
        case "amount":
            return (RefundPlan(refund_id, (place,), amount),)
        case "lines":
            return (RefundPlan(refund_id, (place,), pieces=rng.randint(1, QUANTITY)),)
        case "equal":
            return tuple(RefundPlan(f"{refund_id}-{number}", (each,), amount) for number, each in enumerate(two))
        case "rivals":  # Together they are more than the order.
            return tuple(RefundPlan(f"{refund_id}-{number}", (each,), TOTAL / 2 + 1) for number, each in enumerate(two))
        case "twice":
            return (RefundPlan(refund_id, two, amount),)
        case _:
            return (RefundPlan(refund_id, (place,), TOTAL + 5),)
