"""Puts the API together: routes, error handlers, OpenAPI document. Called by `serve` and by tests."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from pydantic.json_schema import models_json_schema

from orderfleet import __version__
from orderfleet.api import listing, orders, probes, problems, shipments, watch, workflows
from orderfleet.api.dependencies import Services
from orderfleet.api.middleware import BodyBounds, BudgetedRequests, MeasureRequests, RequestLog, TraceRequests
from orderfleet.api.openapi_links import linked

_DESCRIPTION = (
    "Orders made, changed and followed over HTTP. Every error is a problem document (RFC 9457);"
    " 503 says in `Retry-After` when to ask again. Every answer has an `X-Request-ID`: the request's own, or one made"
    " for it, and the log has it too. A change answers 200 once the order's workflow took it, 409 with the reason"
    " where it refused, and 202 where no worker answered in time: it is handled when one runs."
)
_TAGS: Final = [
    {"name": "orders", "description": "Start orders (role `operate`) and see where they stand (role `read`)."},
    {"name": "changes", "description": "Change an order that runs (role `operate`)."},
    {"name": "by workflow id", "description": "The same for callers that keep workflow ids: `order-` and the id."},
    {"name": "carrier", "description": "What the carrier tells of parcels (role `carrier`)."},
    {"name": "probes", "description": "For load balancers; they need no token."},
]


def create_app(services: Services) -> FastAPI:
    """The application; it connects to nothing itself."""
    # Documentation pages whose assets are served from here: a cluster may have no way out.
    app = FastAPIOffline(
        title="Orderfleet",
        version=__version__,
        description=_DESCRIPTION,
        openapi_tags=_TAGS,
        redoc_url=None,
        # A redirect to the path without its last slash would lead to whichever host the caller named.
        redirect_slashes=False,
        # Its own spans and logs keep queries and messages of errors, and with them what callers wrote.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.services = services
    problems.install(app)
    # The last one added is the outermost: what it refuses is logged too.
    app.add_middleware(BudgetedRequests, patience=services.patience)
    settings = services.settings
    app.add_middleware(BodyBounds, limit=settings.api_body_limit, timeout=settings.api_read_timeout)
    app.add_middleware(RequestLog)
    app.add_middleware(MeasureRequests)
    app.add_middleware(TraceRequests)
    for router in (
        listing.router,
        orders.router,
        orders.changes_router,
        workflows.router,
        shipments.router,
        watch.router,
        probes.router,
    ):
        app.include_router(router)

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way of extending the document
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, tags=app.openapi_tags, routes=app.routes
    )
    _, schemas = models_json_schema([(problems.Problem, "serialization")], ref_template="#/components/schemas/{model}")
    document["components"]["schemas"].update(schemas["$defs"])
    linked(document)
    return document
