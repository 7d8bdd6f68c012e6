"""Chains of requests along the links of the OpenAPI document; every response is checked against the document."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from integration.api.conformance import CHECKS, call, name_order
from support.factories import ADDRESS_JSON

ELSEWHERE = {**ADDRESS_JSON, "street": "2 Side St"}
ORDER = {"items": [{"sku": "widget", "qty": 2, "price": "9.99"}], "address": ADDRESS_JSON}
START_ROUTES = {"POST /orders", "POST /orders/{order_id}/start"}
VALID_BODIES = {"POST /orders/{order_id}/start": ORDER, "POST /orders/{order_id}/signals/update-address": ELSEWHERE}
"""Valid bodies, which a chain needs to continue; `test_conformance` sends invalid ones."""
CHAINS = settings(
    max_examples=4,
    stateful_step_count=8,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
MAX_ROUNDS = 30
LONG = settings(CHAINS, max_examples=8, stateful_step_count=15)


@pytest.mark.slow
async def test_requests_that_follow_links_conform_to_the_document(process, workflow_env):
    await follow_until(process, CHAINS, lambda seen: seen.total() > 1)


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_orders_are_read_approved_changed_and_canceled_by_links(process, workflow_env):
    wanted = {
        (f"POST /orders/{{order_id}}/{change}", HTTPStatus.OK)
        for change in ("signals/approve", "cancel", "signals/cancel-payment", "signals/update-address")
    }
    await follow_until(process, LONG, lambda seen: wanted <= seen.keys())


async def follow_until(url: str, chain_settings: settings, enough: Callable[[Counter[tuple[str, int]]], bool]) -> None:
    """Follow links in rounds, because which ones apply depends on how far an order is when a request arrives."""
    seen: Counter[tuple[str, int]] = Counter()
    described = await document(url)
    for _ in range(MAX_ROUNDS):
        seen += await asyncio.to_thread(follow_links, described, url, chain_settings)
        if enough(seen):
            return
    raise AssertionError(f"only these were seen: {seen}")


async def document(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=url, timeout=30) as caller:
        found: dict[str, Any] = (await caller.get("/openapi.json")).json()
    return found


def follow_links(document: dict[str, Any], url: str, chain_settings: settings) -> Counter[tuple[str, int]]:
    """Follow links; returns the number of responses by route and status."""
    # The stream of an order that has not ended does not end.
    schema = schemathesis.openapi.from_dict(document).exclude(path_regex="/watch$")
    schema.config.update(base_url=url)
    schema.config.generation.update(modes=[GenerationMode.POSITIVE])
    seen: Counter[tuple[str, int]] = Counter()
    failures: list[Exception] = []
    session = requests.Session()

    class Chain(schema.as_state_machine()):  # type: ignore[misc]
        """A chain of requests; each starts an order or names one that an earlier request started."""

        def setup(self) -> None:
            self.order_ids = [new_id()]
            response = session.post(f"{url}/orders", json={**ORDER, "order_id": self.order_ids[0]}, timeout=30)
            assert response.status_code == HTTPStatus.CREATED, response.text

        def before_call(self, case: Any) -> None:
            route = f"{case.method} {case.path}"
            case.body = VALID_BODIES.get(route, case.body)
            if route in START_ROUTES:
                self.order_ids.append(new_id())
            if route == "POST /orders":
                case.body = {**ORDER, "order_id": self.order_ids[-1]}
            elif route in START_ROUTES or (case.path_parameters or {}).get("order_id") not in self.order_ids:
                name_order(case, self.order_ids[-1])

        def call(self, case: Any, **_: Any) -> Any:
            response = call(case, session)
            seen[f"{case.method} {case.path}", response.status_code] += 1
            return response

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            all_checks = [*CHECKS, checks.ensure_resource_availability]
            try:
                case.validate_response(response, checks=all_checks, recorder=self.recorder)
            except Exception as error:
                failures.append(error)
                raise

    # The step of an order when a request arrives varies, so an example that is run again may end otherwise.
    with session, suppress(Flaky):
        run_state_machine_as_test(Chain, settings=chain_settings)
    assert not failures, failures
    not_found = [route for route, status in seen if status == HTTPStatus.NOT_FOUND and "shipments" not in route]
    assert not not_found, seen
    return seen


def new_id() -> str:
    """A new order id: the Temporal server is shared by the session, and an order id can be used only once."""
    return f"chain-{uuid.uuid4().hex[:12]}"
