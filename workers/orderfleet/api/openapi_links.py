"""What may follow an answer, as OpenAPI links: readers of the documentation, and programs, see where an id goes next.

`app` puts them into the document. They must never change what a route does.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class _Link(NamedTuple):
    """One request that may follow."""

    name: str
    method: str
    path: str
    parameters: dict[str, str]
    """Where the answer has them, by runtime expressions (OpenAPI 3.1, 4.8.20.4)."""
    description: str


_ORDER: Final = {"order_id": "$response.body#/order_id"}
_SAME: Final = {"order_id": "$request.path.order_id"}
_SHIPMENT: Final = {**_ORDER, "shipment_id": "$response.body#/shipments/0/id"}
_BY_WORKFLOW: Final = {"workflow_id": "$response.body#/workflow_id"}

_LOOK: Final = (
    _Link("Read", "get", "/orders/{order_id}", _ORDER, "The order, as recorded."),
    _Link("Status", "get", "/orders/{order_id}/status", _ORDER, "Where it stands, live."),
    _Link("StatusByWorkflow", "get", "/status/{workflow_id}", _BY_WORKFLOW, "The same, by its workflow id."),
    _Link("Events", "get", "/orders/{order_id}/events", _ORDER, "Its audit trail."),
    _Link("Watch", "get", "/orders/{order_id}/watch", _ORDER, "The order, as it changes."),
)
_CHANGE: Final = (
    _Link("Approve", "post", "/orders/{order_id}/signals/approve", _ORDER, "Let it go on to the charge."),
    _Link("Cancel", "post", "/orders/{order_id}/cancel", _ORDER, "Cancel and undo."),
    _Link(
        "CancelPayment", "post", "/orders/{order_id}/signals/cancel-payment", _ORDER, "Cancel its payment, and so it."
    ),
    _Link("UpdateAddress", "post", "/orders/{order_id}/signals/update-address", _ORDER, "Send it elsewhere."),
)
_CARRIER: Final = _Link(
    "CarrierUpdate", "post", "/orders/{order_id}/shipments/{shipment_id}/updates", _SHIPMENT, "The carrier's word."
)
_FIRST: Final = {"order_id": "$response.body#/orders/0/order_id"}
_PAGE: Final = (
    _Link("NextPage", "get", "/orders", {"cursor": "$response.body#/next"}, "The page after; none where it is null."),
    _Link("First", "get", "/orders/{order_id}", _FIRST, "The newest of them."),
)
_NEXT_AFTER: Final = {**_SAME, "after": "$response.body#/next_after"}
_TRAIL: Final = (
    _Link("NextEvents", "get", "/orders/{order_id}/events", _NEXT_AFTER, "The page after; none where it is null."),
)

_AFTER: Final[dict[str, tuple[_Link, ...]]] = {
    "Created": (*_LOOK, *_CHANGE),
    "Changed": _LOOK,
    "SourcedStatus": (*_LOOK, *_CHANGE, _CARRIER),
    "Orders": _PAGE,
    "Events": _TRAIL,
}
"""By the schema of the answer."""


def linked(document: dict[str, Any]) -> None:
    """Add to every answer of the document the requests that may follow it."""
    paths = document["paths"]
    for operation in (each for methods in paths.values() for each in methods.values()):
        for answer in operation["responses"].values():
            links = _AFTER.get(_schema(answer), ())
            if links:
                answer["links"] = {
                    link.name: _told(link, paths[link.path][link.method]["operationId"]) for link in links
                }


def _schema(answer: dict[str, Any]) -> str:
    reference = answer.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
    return str(reference).rpartition("/")[2]


def _told(link: _Link, operation: str) -> dict[str, Any]:
    return {"operationId": operation, "parameters": dict(link.parameters), "description": link.description}
