"""From a declared Order to the input of its workflow, and to what is declared to a running one. Pure.

`plan` calls it. What the Order leaves open is taken from the settings here, once: the running order
keeps it whatever becomes of the settings.
"""

from __future__ import annotations

from typing import Any

from orderfleet.client import Claim
from orderfleet.contracts.declare import Declaration
from orderfleet.contracts.order import Customer, Delivery, OrderInput, Review, content_hash
from orderfleet.operator.resource import MUTABLE, DeliverySpec, LeavingOrder, OrderResource, ReviewSpec
from orderfleet.runtime.settings import Settings

DELETED = "the Order was deleted"
"""Cancel reason of an order whose Order is deleted."""


def order_input(order: OrderResource, settings: Settings) -> OrderInput:
    """The input with every default in it."""
    spec = order.spec
    review, delivery = spec.review or ReviewSpec(), spec.delivery or DeliverySpec()
    given = {
        "payment_id": spec.payment_id,
        "currency": spec.currency,
        "review": Review(**{**dict(settings.review()), **_named(review)}),
        "delivery": Delivery(**{**dict(settings.delivery()), **_named(delivery)}),
        "deadline": spec.deadline or settings.order_deadline,
    }
    return OrderInput(
        order_id=order.order_id,
        items=spec.items,
        address=spec.address,
        customer=spec.customer or Customer(),
        # An order that is to be canceled must not be charged before it is told so.
        approved=spec.approved and not spec.cancel,
        generation=started_generation(order),
        owner=order.owner,
        owner_uid=order.metadata.uid,
        content_hash=content(order),
        policy=settings.order_policy(),
        **{name: value for name, value in given.items() if value is not None},
    )


def _named(terms: ReviewSpec | DeliverySpec) -> dict[str, Any]:
    """The terms that the spec names, as values: a dump would make text of the durations."""
    return {name: value for name, value in terms if value is not None}


def started_generation(order: OrderResource) -> int:
    """The generation that a start carries whole; a cancel has to be declared after it."""
    return 0 if order.spec.cancel else order.metadata.generation


def content(order: OrderResource) -> str:
    """Hash of what may not change: the same for the same Order applied again."""
    return content_hash(order.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=set(MUTABLE)))


def claim(order: LeavingOrder) -> Claim:
    """Who the Order is to those who know its order; without its content where that can't be read."""
    content_hash = content(order) if isinstance(order, OrderResource) else ""
    return Claim(order.order_id, order.owner, order.metadata.uid, content_hash)


def farewell(order: LeavingOrder) -> Declaration:
    """What an Order that is deleted asks of the running order."""
    return Declaration(
        generation=order.metadata.generation,
        owner_uid=order.metadata.uid,
        cancel=True,
        cancel_reason=order.spec.cancel_reason or DELETED,
    )


def declaration(order: OrderResource) -> Declaration:
    """What the Order asks of the running order now."""
    spec, metadata = order.spec, order.metadata
    return Declaration(
        generation=metadata.generation,
        owner_uid=metadata.uid,
        approved=spec.approved,
        cancel=spec.cancel,
        cancel_reason=spec.cancel_reason,
        address=spec.address,
    )


def unmet(order: OrderResource, *, approved: bool, canceled: bool, same_address: bool) -> list[str]:
    """What the Order declares that is not so, for an order that can't be told any more."""
    wanted = {
        "approved": order.spec.approved and not approved,
        "cancel": order.spec.cancel and not canceled,
        "address": not same_address,
    }
    return [name for name, missing in wanted.items() if missing]
