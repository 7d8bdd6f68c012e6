"""The API's process against the OpenAPI document it serves: what schemathesis makes of it, for every route.

The requests are the same in every run. Half of them name orders that are there, at several steps.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from http import HTTPStatus

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from worker_processes import WorkerFleet

EXAMPLES = 6
"""Of a kind for each route."""
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
AWAY_AT_MOST_SECONDS = 60


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_every_answer_to_every_request_is_as_documented(process, running, order_id, new_order, until):
    async with httpx.AsyncClient(base_url=process, timeout=30) as caller:
        known = {step: f"{order_id}-{step}" for step in ("manual_review", "canceled", "shipped")}
        for one in known.values():
            await new_order(caller, one)
        await caller.post(f"/orders/{known['canceled']}/cancel")
        await caller.post(f"/orders/{known['shipped']}/signals/approve")
        for step, one in known.items():
            await until(caller, one, step)
            if step != "manual_review":
                await running.until_recorded(one, lambda status: status.ended)
        document = (await caller.get("/openapi.json")).json()
        assert {"/orders", "/readyz", "/metrics"} <= set(document["paths"])
        await asyncio.to_thread(ask_everything, document, process, list(known.values()))


@pytest.fixture
async def process(temporal_address, postgres_url, task_queues, tmp_path):
    """The address of `orderfleet api` as a pod runs it, once it is ready."""
    environment = {
        "ORDERFLEET_ENVIRONMENT": "local",
        "ORDERFLEET_API_HOST": "127.0.0.1",
        "ORDERFLEET_TEMPORAL_ADDRESS": temporal_address,
        "ORDERFLEET_DATABASE_URL": postgres_url,
        "ORDERFLEET_ORDERS_TASK_QUEUE": task_queues.orders,
        "ORDERFLEET_SHIPPING_TASK_QUEUE": task_queues.shipping,
        "ORDERFLEET_DRAIN_TIMEOUT": "5s",
    }
    async with AsyncExitStack() as stack:
        api = await WorkerFleet(stack, environment, tmp_path).api()
        await api.answers("/readyz", 200)
        yield f"http://127.0.0.1:{api.port}"


def ask_everything(document, url: str, known: list[str]) -> None:
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    failures = []
    with requests.Session() as session:
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                for mode in modes(operation):
                    try:
                        ask(schema[path][method.upper()], mode, session, known)
                    except Exception as error:  # noqa: BLE001 - every route is asked, whatever the others did
                        failures.append(f"{method} {path} {mode}: {error}")
    assert not failures, "\n\n".join(failures)


def modes(operation) -> list[schemathesis.GenerationMode]:
    """Right requests, and wrong ones where there is something to get wrong."""
    takes_something = operation.get("parameters") or operation.get("requestBody")
    return list(schemathesis.GenerationMode) if takes_something else [schemathesis.GenerationMode.POSITIVE]


def ask(operation, mode, session: requests.Session, known: list[str]) -> None:
    # A stream of an order that goes on doesn't end.
    names = [*known[1:], "unknown"] if operation.path.endswith("/watch") else [None, None, *known]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), order=st.sampled_from(names))
    def one(case, order) -> None:
        if order is not None:
            case.path_parameters = named(case.path_parameters, order)
            if isinstance(case.body, dict) and "workflow_id" in case.body:
                case.body["workflow_id"] = f"order-{order}"
        case.validate_response(answered(case, session), checks=CHECKS)

    one()


def answered(case, session: requests.Session):
    """The answer; where this machine is too busy for two seconds, as a client would get it: asked again."""
    end = time.monotonic() + AWAY_AT_MOST_SECONDS
    while True:
        answer = case.call(session=session, timeout=30)
        if answer.status_code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > end:
            return answer
        time.sleep(float(answer.headers.get("retry-after", ["1"])[0]))


def named(parameters, order: str):
    given = {"order_id": order, "workflow_id": f"order-{order}", "shipment_id": f"shipping-{order}-1"}
    return {name: given.get(name, value) for name, value in (parameters or {}).items()}
