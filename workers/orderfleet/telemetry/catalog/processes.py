"""Requests to the API, and what runs."""

from __future__ import annotations

from orderfleet.telemetry.catalog.declare import ALL, API_ONLY, SHORT, gauge, histogram

API_DURATION = histogram(
    "orderfleet_api_request_duration_seconds",
    "From a request to the first byte of its answer, probes left out; its count is the number of requests.",
    API_ONLY,
    SHORT,
    method="HTTP method, or `other`",
    route="path of the route as in the API's document, or `none`",
    status="HTTP status",
)
BUILD = gauge(
    "orderfleet_build_info",
    "Always 1; its labels say what runs.",
    ALL,
    role="orders-worker, shipping-worker, worker, operator or api",
    version="of Orderfleet, or a worker's build id where it has one",
    python="version of Python",
    temporalio="version of Temporal's SDK",
)
