"""Whose an order id is: what a start leaves in Temporal, and whether another start is the same order.

Client and desk compare with it, one with Temporal's memo, the other with the record.
"""

from __future__ import annotations

from dataclasses import dataclass

from orderfleet.contracts import names
from orderfleet.contracts.order import OrderInput


@dataclass(frozen=True)
class Claim:
    """Who says that an order id is theirs: what has to be known of an order to find it."""

    order_id: str
    owner: str
    owner_uid: str
    content_hash: str
    """Empty where the content isn't known: then nobody else's order is the same."""


def memo(order: OrderInput) -> dict[str, str]:
    """What stands beside the workflow in Temporal."""
    return {
        names.MEMO_OWNER: order.owner,
        names.MEMO_OWNER_UID: order.owner_uid,
        names.MEMO_CONTENT_HASH: order.content_hash,
    }


def conflict(order: OrderInput | Claim, *, owner: str, owner_uid: str, content: str) -> str | None:
    """Why `order` is not the one already known by its id; None when it is the same.

    The same Order object (by UID) is always the same. Another object of the same name, or another
    request, is the same if its content hash is.
    """
    if owner != order.owner:
        held = f"belongs to Order {owner}" if owner else "was made outside Kubernetes"
        return f"order id {order.order_id!r} {held}; choose another spec.orderId"
    if owner_uid and owner_uid == order.owner_uid:
        return None
    if content != order.content_hash:
        return f"order id {order.order_id!r} was used before with another content; choose another order id"
    return None
