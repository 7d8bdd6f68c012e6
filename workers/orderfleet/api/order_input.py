"""Conversion of a request into the input of the order's workflow.

Omitted fields come from the settings. An invalid order is rejected here, before its order id is used.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Final

from orderfleet.api.schemas import NewOrder, OrderTerms
from orderfleet.domain.errors import OrderfleetError
from orderfleet.domain.money import DEFAULT_CURRENCY, DEFAULT_PRICE
from orderfleet.domain.order import Address, Item, OrderInput, content_hash
from orderfleet.domain.validation import problems
from orderfleet.settings import Settings

SAMPLE_ITEMS: Final = (Item(sku="sample-tea", qty=1, price=DEFAULT_PRICE),)
SAMPLE_ADDRESS: Final = Address(street="1 Sample Street", city="Springfield", state="Oregon", zip="97477", country="US")


class Unprocessable(OrderfleetError):
    """The request is well-formed but invalid; each problem is `field: message`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def order_id_for(request: NewOrder, idempotency_key: str | None) -> str:
    """The order id of the request, else one derived from the key, else a random one."""
    if request.order_id is not None:
        return request.order_id
    if idempotency_key is not None:
        # A hash of the key gives the same order id each time, so keys need not be stored.
        return f"ord-{hashlib.sha256(idempotency_key.encode()).hexdigest()[:20]}"
    return f"ord-{secrets.token_hex(8)}"


def to_input(request: OrderTerms, order_id: str, settings: Settings) -> OrderInput:
    """The workflow's input.

    Args:
        request: the order.
        order_id: of the order.
        settings: defaults for omitted fields.

    Raises:
        Unprocessable: fields are invalid or missing; each problem names its field.
    """
    required = () if settings.sample_orders else ("items", "address")
    missing = [f"{name}: is missing; give it" for name in required if getattr(request, name) is None]
    order = OrderInput(
        order_id=order_id,
        items=SAMPLE_ITEMS if request.items is None else request.items,
        address=SAMPLE_ADDRESS if request.address is None else request.address,
        customer=request.merged_customer(),
        payment_id=request.payment_id or "",
        payment=settings.payment(request.payment),
        currency=request.currency or DEFAULT_CURRENCY,
        adjustments=request.adjustments or (),
        reference=request.reference or "",
        review=settings.review(request.review),
        deadline=request.deadline or settings.order_deadline,
        delivery=settings.delivery(request.delivery),
        approved=request.approved or False,
        content_hash=content_hash(_content(request)),
        policy=settings.order_policy(),
    )
    found = [*missing, *problems(order)]
    if found:
        raise Unprocessable(found)
    return order


def _content(request: OrderTerms) -> dict[str, Any]:
    """The normalized content of the request, without settings: a changed setting must not change the hash.

    Nor may a new version of the API, or a POST that is repeated across the upgrade would conflict with itself. So a
    field that has its default is left out. The two fields of the customer are always hashed, as they always were.
    """
    content = request.model_dump(
        mode="json", exclude_defaults=True, exclude={"order_id", "customer", "customer_name", "customer_email"}
    )
    customer = request.merged_customer()
    content["customer"] = customer.model_dump(include={"name", "email"}) | customer.model_dump(exclude_defaults=True)
    for line, item in zip(content.get("items", ()), request.items or (), strict=False):
        if item.price is not None:
            line["price"] = f"{item.price.normalize():f}"
    for given, adjustment in zip(content.get("adjustments", ()), request.adjustments or (), strict=False):
        given["amount"] = f"{adjustment.amount.normalize():f}"
    return {name: value for name, value in content.items() if value or name not in {"adjustments", "reference"}}
