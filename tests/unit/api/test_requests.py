"""Request ids, the request log, and the body limit."""

from __future__ import annotations

import re

import httpx
import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from orderfleet.api.app import create_app
from orderfleet.api.dependencies import Readiness, Services
from orderfleet.observability.tracing import trace_id_of
from orderfleet.services.errors import Started, StartOutcome
from orderfleet.settings import Settings
from support.factories import ADDRESS_JSON
from support.no_orders import NoOrders

LIMIT = 2048
ORDER = {
    "items": [{"sku": "tea", "qty": 1, "price": "1.00"}],
    "address": ADDRESS_JSON,
}


@pytest.fixture
def services():
    return NoOrders()


@pytest.fixture
async def caller(services):
    app = create_app(Services(Settings(api_body_limit=LIMIT), services, None, None, None, Readiness({}), None))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        yield client


async def test_valid_request_id_is_kept(caller):
    for path in ("/orders/ord-1", "/healthz", "/nothing"):
        assert (await caller.get(path, headers={"X-Request-ID": "abc-1.2:3"})).headers["x-request-id"] == "abc-1.2:3"


@pytest.mark.parametrize("invalid_id", ["", "x" * 129, "with space", 'quote"', "\xe9"])
async def test_invalid_request_id_is_replaced(caller, invalid_id):
    headers = {"X-Request-ID": invalid_id.encode("latin-1")} if invalid_id else {}
    replacements = {(await caller.get("/orders/ord-1", headers=headers)).headers["x-request-id"] for _ in range(3)}
    assert len(replacements) == 3
    assert invalid_id not in replacements


async def test_change_key_is_the_idempotency_key_or_else_the_request_id(caller, services):
    await caller.post("/orders/ord-1/cancel", headers={"X-Request-ID": "mine"})
    await caller.post("/orders/ord-1/cancel", headers={"X-Request-ID": "mine", "Idempotency-Key": "key"})
    assert services.request_ids == ["mine", "key"]


@pytest.mark.parametrize(
    ("method", "path", "body", "order_id"),
    [
        ("GET", "/orders/ord-1?x=secret", None, "ord-1"),
        ("POST", "/orders/ord-1/cancel", None, "ord-1"),
        ("POST", "/signals/approve", {"workflow_id": "order-ord-1"}, "ord-1"),
        ("GET", "/status/order-ord-1", None, "ord-1"),
        ("GET", "/nothing", None, None),
    ],
)
async def test_request_is_logged_once_with_its_fields(caller, method, path, body, order_id):
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "X-Request-ID": "mine"}
    with capture_logs(processors=[merge_contextvars]) as logs:
        await caller.request(method, path, json=body, headers=headers)
    (line,) = [line for line in logs if line["event"] == "request"]
    assert {"method": method, "path": path.partition("?")[0], "status": 404}.items() <= line.items()
    assert line.get("order_id") == order_id
    assert (line["trace_id"], line["request_id"]) == (trace, "mine")
    assert line["seconds"] >= 0
    assert "secret" not in str(logs)


@pytest.mark.parametrize("parent", [None, "00-" + "0" * 32 + "-b7ad6b7169203331-01", "nonsense"])
async def test_request_without_a_valid_traceparent_has_its_own_trace_id(caller, parent):
    headers = {} if parent is None else {"traceparent": parent}
    with capture_logs(processors=[merge_contextvars]) as logs:
        for _ in range(2):
            await caller.get("/orders/ord-1", headers=headers)
    first, second = (line["trace_id"] for line in logs if line["event"] == "request")
    assert re.fullmatch("(?!0{32})[0-9a-f]{32}", first)
    assert first != second


@pytest.mark.parametrize("trace", [None, "0af7651916cd43dd8448eb211c80319c"])
async def test_log_entry_of_a_start_has_the_trace_id_of_the_order(caller, services, trace):
    services.start = started
    headers = {} if trace is None else {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    with capture_logs(processors=[merge_contextvars]) as logs:
        answer = await caller.post("/orders", json={"order_id": "ord-1", **ORDER}, headers=headers)
    assert answer.status_code == 201, answer.text
    (line,) = [line for line in logs if line["event"] == "request"]
    assert line["trace_id"] == (trace or f"{trace_id_of('ord-1'):032x}")


async def started(order):
    return Started(order_id=order.order_id, workflow_id="order-ord-1", run_id="run-1", outcome=StartOutcome.STARTED)


async def test_probes_are_logged_at_debug_level(caller):
    with capture_logs() as logs:
        await caller.get("/healthz")
    assert [line["log_level"] for line in logs] == ["debug"]


@pytest.mark.parametrize("has_content_length", [True, False])
async def test_body_above_the_limit_is_413(caller, has_content_length):
    async def parts():
        for _ in range(8):
            yield b" " * (LIMIT // 4)

    content = b" " * (LIMIT * 2) if has_content_length else parts()
    answer = await caller.post("/orders", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:orderfleet:problem:too-large"
    assert f"above {LIMIT} bytes" in answer.json()["detail"]
    assert answer.headers["x-request-id"]


async def test_body_at_the_limit_is_read(caller):
    answer = await caller.post("/orders", content=b"{}".ljust(LIMIT), headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
