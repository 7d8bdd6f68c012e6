"""Checks of responses against the OpenAPI document that the API serves."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any

import requests
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
MAX_UNAVAILABLE_SECONDS = 60


def call(case: Any, session: requests.Session) -> Any:
    """The response; a 503, which a busy machine causes, is retried after its `Retry-After`."""
    end = time.monotonic() + MAX_UNAVAILABLE_SECONDS
    while True:
        response = case.call(session=session, timeout=30)
        if response.status_code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > end:
            return response
        time.sleep(float(response.headers.get("retry-after", ["1"])[0]))


def name_order(case: Any, order: str) -> None:
    """Replace the ids in the request by those of this order."""
    ids = {"order_id": order, "workflow_id": f"order-{order}", "shipment_id": f"shipping-{order}-1"}
    case.path_parameters = {name: ids.get(name, value) for name, value in (case.path_parameters or {}).items()}
    if isinstance(case.body, dict) and "workflow_id" in case.body:
        case.body["workflow_id"] = ids["workflow_id"]
