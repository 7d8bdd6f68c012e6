"""Addresses, orders and policies of tests. A test states what matters to it, and the factories fill in the rest."""

from __future__ import annotations

from typing import Any, Final

from orderfleet.domain.order import Address, Item, OrderInput, Review, ReviewMode
from orderfleet.domain.policy import OrderPolicy, OutagePolicy, StepPolicy
from orderfleet.settings import Settings

ADDRESS_JSON: Final = {"street": "1 Main St", "city": "Springfield", "state": "IL", "zip": "62701", "country": "US"}
ELSEWHERE_JSON: Final = {"street": "2 Side St", "city": "Shelbyville", "state": "IL", "zip": "62565", "country": "US"}
ITEMS_JSON: Final = [{"sku": "widget", "qty": 2, "price": "9.99"}]

ADDRESS: Final = Address(**ADDRESS_JSON)
ELSEWHERE: Final = Address(**ELSEWHERE_JSON)
AUTO: Final = Review(mode=ReviewMode.AUTO)
"""No manual review: the order continues by itself."""
STEPS: Final = tuple(name for name, field in OrderPolicy.model_fields.items() if field.annotation is StepPolicy)
"""Fields of an order's policy that are the policy of one step."""


def order_input(order_id: str, **changes: Any) -> OrderInput:
    """A small valid order, as its workflow gets it."""
    given = {"items": (Item(sku="widget", qty=2, price="9.99"),), "address": ADDRESS}
    return OrderInput(order_id=order_id, **{**given, **changes})


def automatic_order(order_id: str, task_queues: Any, **changes: Any) -> OrderInput:
    """An order without a review, for worker processes on the queues of a test."""
    charge = StepPolicy(attempt_timeout="3s", initial_interval="100ms")
    given = {
        "items": (Item(sku="widget", qty=1, price="5.00"),),
        "review": AUTO,
        "policy": OrderPolicy(shipping_task_queue=task_queues.shipping, charge=charge),
    }
    return order_input(order_id, **{**given, **changes})


def order_json(order_id: str, **changes: Any) -> dict[str, Any]:
    """A small valid order, as the API gets it."""
    return {"order_id": order_id, "items": ITEMS_JSON, "address": ADDRESS_JSON, **changes}


def order_manifest(name: str, **spec: Any) -> dict[str, Any]:
    """A small valid Order, as kubectl applies it."""
    return {
        "apiVersion": "orderfleet.dev/v1alpha1",
        "kind": "Order",
        "metadata": {"name": name},
        "spec": {"items": ITEMS_JSON, "address": ADDRESS_JSON, **spec},
    }


def quick_policy(settings: Settings, **changes: Any) -> OrderPolicy:
    """The default policy with short waits, so that a test on a real clock is quick."""
    step = StepPolicy(attempt_timeout="2s", initial_interval="10ms", maximum_interval="20ms")
    backoff = OutagePolicy(first="50ms", longest="200ms")
    given: dict[str, Any] = {
        **dict.fromkeys(STEPS, step),
        "outage": backoff,
        "retry_forever_backoff": backoff,
        "shipping_task_queue": settings.shipping_task_queue,
    }
    return OrderPolicy(**{**given, **changes})
