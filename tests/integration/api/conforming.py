"""What holds of every answer of the API, by the OpenAPI document that it serves."""

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
AWAY_AT_MOST_SECONDS = 60


def answered(case: Any, session: requests.Session) -> Any:
    """The answer; where this machine is too busy for two seconds, as a client would get it: asked again."""
    end = time.monotonic() + AWAY_AT_MOST_SECONDS
    while True:
        answer = case.call(session=session, timeout=30)
        if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > end:
            return answer
        time.sleep(float(answer.headers.get("retry-after", ["1"])[0]))


def name_order(case: Any, order: str) -> None:
    """Have the request be about this order, wherever it names one."""
    given = {"order_id": order, "workflow_id": f"order-{order}", "shipment_id": f"shipping-{order}-1"}
    case.path_parameters = {name: given.get(name, value) for name, value in (case.path_parameters or {}).items()}
    if isinstance(case.body, dict) and "workflow_id" in case.body:
        case.body["workflow_id"] = given["workflow_id"]
