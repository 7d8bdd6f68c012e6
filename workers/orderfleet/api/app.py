"""The FastAPI application: middlewares, routes, error handlers and the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi_offline import FastAPIOffline
from pydantic.json_schema import models_json_schema

from orderfleet import __version__
from orderfleet.api import listing, orders, probes, problems, shipments, watch, workflow_id_routes
from orderfleet.api.dependencies import Services
from orderfleet.api.middleware import RequestLimits, RequestLog, RequestTelemetry
from orderfleet.api.openapi_links import add_links

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
        "name": "by workflow id",
        "description": "The same for callers that store workflow ids: `order-` and the order id.",
    },
    {"name": "carrier", "description": "Carrier status updates (role `carrier`)."},
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
        listing.router,
        orders.router,
        orders.changes_router,
        workflow_id_routes.router,
        shipments.router,
        watch.router,
        probes.router,
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
    add_links(document)
    return document
