"""The FastAPI application: middlewares, routes, error handlers and the OpenAPI document with its links."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from pydantic.json_schema import models_json_schema

from orderfleet import __version__
from orderfleet.api import (
    orders,
    payment_retries,
    payments,
    problems,
    shipments,
    stock,
    watch,
    webhooks,
    workflow_id_routes,
)
from orderfleet.api.dependencies import Services, probes_router
from orderfleet.api.middleware import RequestLimits, RequestLog, RequestTelemetry

_DESCRIPTION = (
    "Start, change and watch orders. Every error is a problem document (RFC 9457). A 503 has a `Retry-After`. Every"
    " response has an `X-Request-ID`: that of the request, or a generated one; the API's log has the same id. A change"
    " returns 200 when the order's workflow accepted it, 409 with the reason when it rejected it, and 202 when no"
    " worker answered in time: the change is then handled when a worker runs."
)
_TAGS: Final = [
    {"name": "orders", "description": "Start orders (role `operate`) and read their status (role `read`)."},
    {"name": "changes", "description": "Change a running order (role `operate`)."},
    {
        "name": "payments",
        "description": "The payment of an order with its ledger (role `read`), and refunds (role `operate`), while the"
        " order runs and after its end.",
    },
    {
        "name": "by workflow id",
        "description": "The same for callers that store workflow ids: `order-` and the order id.",
    },
    {
        "name": "stock",
        "description": "What is in stock where (role `read`), and changes of it (role `operate`).",
    },
    {"name": "carrier", "description": "Carrier status updates (role `carrier`)."},
    {"name": "payment provider", "description": "Events of the payment provider, authenticated by their signature."},
    {"name": "probes", "description": "Probes for load balancers; no token is needed."},
]


def create_app(services: Services) -> FastAPI:
    """The application; it opens no connection itself."""
    # FastAPIOffline serves the assets of the documentation pages: a cluster may have no internet access.
    app = FastAPIOffline(
        title="Orderfleet",
        version=__version__,
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        redoc_url=None,
        # A redirect that drops the trailing slash would go to the host in the request's `Host` header.
        redirect_slashes=False,
        # Built-in spans and logs contain query strings and error messages, and so data of callers.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.services = services
    problems.install(app)
    settings = services.settings
    # The last one added is the outermost, so requests that the limits reject are logged too.
    app.add_middleware(
        RequestLimits,
        body_limit=settings.api_body_limit,
        read_timeout=settings.api_read_timeout,
        timeout=services.request_timeout,
    )
    app.add_middleware(RequestLog)
    app.add_middleware(RequestTelemetry)
    for router in (
        orders.router,
        orders.changes_router,
        payments.router,
        payment_retries.router,
        workflow_id_routes.router,
        shipments.router,
        stock.router,
        watch.router,
        webhooks.router,
        probes_router,
    ):
        app.include_router(router)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI documents it
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, tags=app.openapi_tags, routes=app.routes
    )
    _, schemas = models_json_schema([(problems.Problem, "serialization")], ref_template="#/components/schemas/{model}")
    document["components"]["schemas"].update(schemas["$defs"])
    _add_links(document)
    return document


class _Link(NamedTuple):
    """A link to a request."""

    name: str
    method: str
    path: str
    parameters: dict[str, str]
    """Runtime expressions for the parameters' values in the response (OpenAPI 3.1, 4.8.20.4)."""
    description: str


_ORDER: Final = {"order_id": "$response.body#/order_id"}
_SHIPMENT: Final = {**_ORDER, "shipment_id": "$response.body#/shipments/0/id"}
_BY_WORKFLOW: Final = {"workflow_id": "$response.body#/workflow_id"}

_READS: Final = (
    _Link("Read", "get", "/orders/{order_id}", _ORDER, "The recorded status."),
    _Link("Status", "get", "/orders/{order_id}/status", _ORDER, "The live status."),
    _Link("StatusByWorkflow", "get", "/status/{workflow_id}", _BY_WORKFLOW, "The live status, by workflow id."),
    _Link("Events", "get", "/orders/{order_id}/events", _ORDER, "The audit trail."),
    _Link("Watch", "get", "/orders/{order_id}/watch", _ORDER, "The changes as server-sent events."),
    _Link("Payment", "get", "/orders/{order_id}/payment", _ORDER, "The payment with its ledger."),
)
_REFUND: Final = _Link("Refund", "post", "/orders/{order_id}/refunds", _ORDER, "Refund a part of the order.")
_REFUNDS: Final = _Link("Refunds", "get", "/orders/{order_id}/refunds", _ORDER, "The refunds of the order.")
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
    _Link("RetryPayment", "post", "/orders/{order_id}/payment/retry", _ORDER, "Capture the payment again."),
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
_NEXT_AFTER: Final = {"order_id": "$request.path.order_id", "after": "$response.body#/next_after"}

_AFTER: Final[dict[str, tuple[_Link, ...]]] = {
    "Created": (*_READS, *_CHANGES),
    "Changed": _READS,
    "SourcedStatus": (*_READS, *_CHANGES, _CARRIER),
    "Orders": _PAGE,
    "RefundAccepted": (*_READS, _REFUNDS),
    "Refunds": (*_READS, _REFUND),
    "PaymentWithLedger": (_REFUND, _REFUNDS),
    "Events": (_Link("NextEvents", "get", "/orders/{order_id}/events", _NEXT_AFTER, _NEXT),),
}
"""By the schema of the response."""


def _add_links(document: dict[str, Any]) -> None:
    """Add links from responses to the requests that can use their values, in place."""
    paths = document["paths"]
    for operation in (each for methods in paths.values() for each in methods.values()):
        for response in operation["responses"].values():
            links = _AFTER.get(_schema(response), ())
            if links:
                response["links"] = {
                    link.name: {
                        "operationId": paths[link.path][link.method]["operationId"],
                        "parameters": link.parameters,
                        "description": link.description,
                    }
                    for link in links
                }


def _schema(response: dict[str, Any]) -> str:
    reference = response.get("content", {}).get("application/json", {}).get("schema", {}).get("$ref", "")
    return str(reference).rpartition("/")[2]
