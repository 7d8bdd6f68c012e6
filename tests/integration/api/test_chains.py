"""Requests that follow one another by the links of the OpenAPI document: an order made is found, changed and followed,
and every answer on the way is as documented."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from conforming import CHECKS, answered, name_order
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

ADDRESS = {"street": "1 Main St", "city": "Springfield", "state": "IL", "zip": "62701", "country": "US"}
ELSEWHERE = {**ADDRESS, "street": "2 Side St"}
ORDER = {"items": [{"sku": "widget", "qty": 2, "price": "9.99"}], "address": ADDRESS}
MAKES = {"POST /orders", "POST /orders/{order_id}/start"}
RIGHT = {"POST /orders/{order_id}/start": ORDER, "POST /orders/{order_id}/signals/update-address": ELSEWHERE}
"""Bodies of requests that a chain needs to get on; `test_conformance` has the odd ones."""
CHAINS = settings(
    max_examples=4,
    stateful_step_count=8,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
LONG = settings(CHAINS, max_examples=8, stateful_step_count=15)


async def test_requests_that_follow_links_conform_to_the_document(process, running):
    seen = await asyncio.to_thread(play, await document(process), process, CHAINS)
    assert seen.total() > 1


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_orders_are_read_approved_changed_and_canceled_by_links(process, running):
    seen = await asyncio.to_thread(play, await document(process), process, LONG, rounds=6)
    for change in ("signals/approve", "cancel", "signals/cancel-payment", "signals/update-address"):
        assert seen[f"POST /orders/{{order_id}}/{change}", HTTPStatus.OK], seen


async def document(url: str) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=url, timeout=30) as caller:
        found: dict[str, Any] = (await caller.get("/openapi.json")).json()
    return found


def play(document: dict[str, Any], url: str, how: settings, rounds: int = 1) -> Counter[tuple[str, int]]:
    """Follow links; how often each route gave which status."""
    # A stream of an order that goes on doesn't end.
    schema = schemathesis.openapi.from_dict(document).exclude(path_regex="/watch$")
    schema.config.update(base_url=url)
    schema.config.generation.update(modes=[GenerationMode.POSITIVE])
    seen: Counter[tuple[str, int]] = Counter()
    wrong: list[Exception] = []
    session = requests.Session()

    class Chain(schema.as_state_machine()):  # type: ignore[misc]
        """Requests of which each names an order that an earlier one made, or makes one."""

        def setup(self) -> None:
            self.made = [new_id()]
            answer = session.post(f"{url}/orders", json={**ORDER, "order_id": self.made[0]}, timeout=30)
            assert answer.status_code == HTTPStatus.CREATED, answer.text

        def before_call(self, case: Any) -> None:
            route = f"{case.method} {case.path}"
            case.body = RIGHT.get(route, case.body)
            if route in MAKES:
                self.made.append(new_id())
            if route == "POST /orders":
                case.body = {**ORDER, "order_id": self.made[-1]}
            elif route in MAKES or (case.path_parameters or {}).get("order_id") not in self.made:
                name_order(case, self.made[-1])

        def call(self, case: Any, **_: Any) -> Any:
            answer = answered(case, session)
            seen[f"{case.method} {case.path}", answer.status_code] += 1
            return answer

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            every = [*CHECKS, checks.ensure_resource_availability]
            try:
                case.validate_response(response, checks=every, recorder=self.recorder)
            except Exception as error:
                wrong.append(error)
                raise

    with session:
        for _ in range(rounds):
            # How far an order has come when it is asked is not the same each time, nor what may follow.
            with suppress(Flaky):
                run_state_machine_as_test(Chain, settings=how)
            assert not wrong, wrong
    lost = [route for route, status in seen if status == HTTPStatus.NOT_FOUND and "shipments" not in route]
    assert not lost, seen
    return seen


def new_id() -> str:
    """The Temporal server is shared by the session, and an order id is used once."""
    return f"chain-{uuid.uuid4().hex[:12]}"
