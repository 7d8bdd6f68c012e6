"""OpenAPI links from the responses of routes to the requests that can use their values."""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class _Link(NamedTuple):
    """A link to a request."""

    name: str
    method: str
    path: str
    parameters: dict[str, str]
    """Runtime expressions for the parameters' values in the response (OpenAPI 3.1, 4.8.20.4)."""
    description: str


_ORDER: Final = {"order_id": "$response.body#/order_id"}
_SAME: Final = {"order_id": "$request.path.order_id"}
_SHIPMENT: Final = {**_ORDER, "shipment_id": "$response.body#/shipments/0/id"}
_BY_WORKFLOW: Final = {"workflow_id": "$response.body#/workflow_id"}

_READS: Final = (
    _Link("Read", "get", "/orders/{order_id}", _ORDER, "The recorded status."),
    _Link("Status", "get", "/orders/{order_id}/status", _ORDER, "The live status."),
    _Link("StatusByWorkflow", "get", "/status/{workflow_id}", _BY_WORKFLOW, "The live status, by workflow id."),
    _Link("Events", "get", "/orders/{order_id}/events", _ORDER, "The audit trail."),
    _Link("Watch", "get", "/orders/{order_id}/watch", _ORDER, "The changes as server-sent events."),
)
_CHANGES: Final = (
    _Link("Approve", "post", "/orders/{order_id}/signals/approve", _ORDER, "Approve the order."),
    _Link("Cancel", "post", "/orders/{order_id}/cancel", _ORDER, "Cancel the order."),
    _Link(
        "CancelPayment",
        "post",
        "/orders/{order_id}/signals/cancel-payment",
        _ORDER,
        "Cancel the payment and the order.",
    ),
    _Link("UpdateAddress", "post", "/orders/{order_id}/signals/update-address", _ORDER, "Change the address."),
)
_CARRIER: Final = _Link(
    "CarrierUpdate",
    "post",
    "/orders/{order_id}/shipments/{shipment_id}/updates",
    _SHIPMENT,
    "Send a carrier status update.",
)
_NEXT: Final = "The next page; there is none if the value is null."
_FIRST: Final = {"order_id": "$response.body#/orders/0/order_id"}
_PAGE: Final = (
    _Link("NextPage", "get", "/orders", {"cursor": "$response.body#/next"}, _NEXT),
    _Link("First", "get", "/orders/{order_id}", _FIRST, "The newest order of the page."),
)
_NEXT_AFTER: Final = {**_SAME, "after": "$response.body#/next_after"}
_TRAIL: Final = (_Link("NextEvents", "get", "/orders/{order_id}/events", _NEXT_AFTER, _NEXT),)

_AFTER: Final[dict[str, tuple[_Link, ...]]] = {
    "Created": (*_READS, *_CHANGES),
    "Changed": _READS,
    "SourcedStatus": (*_READS, *_CHANGES, _CARRIER),
    "Orders": _PAGE,
    "Events": _TRAIL,
}
"""By the schema of the response."""


def add_links(document: dict[str, Any]) -> None:
    """Add links to the responses of an OpenAPI document, in place."""
    paths = document["paths"]
    for operation in (each for methods in paths.values() for each in methods.values()):
        for response in operation["responses"].values():
            links = _AFTER.get(_schema(response), ())
            if links:
                response["links"] = {
                    link.name: _link_object(link, paths[link.path][link.method]["operationId"]) for link in links
                }


def _schema(response: dict[str, Any]) -> str:
    reference = response.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
    return str(reference).rpartition("/")[2]


def _link_object(link: _Link, operation: str) -> dict[str, Any]:
    return {"operationId": operation, "parameters": dict(link.parameters), "description": link.description}
