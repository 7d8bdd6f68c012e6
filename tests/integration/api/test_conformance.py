"""schemathesis checks every route of the API process against its OpenAPI document.

The requests are the same in every run. Half of them name existing orders at several steps.
"""

from __future__ import annotations

import asyncio

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from integration.api.conformance import CHECKS, call, name_order

EXAMPLES = 6
"""Per route and generation mode."""


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_every_response_conforms_to_the_openapi_document(process, workflow_env, order_id, new_order, until):
    async with httpx.AsyncClient(base_url=process, timeout=30) as caller:
        order_ids = {step: f"{order_id}-{step}" for step in ("manual_review", "canceled", "shipped")}
        for existing_id in order_ids.values():
            await new_order(caller, existing_id)
        await caller.post(f"/orders/{order_ids['canceled']}/cancel")
        await caller.post(f"/orders/{order_ids['shipped']}/signals/approve")
        for step, existing_id in order_ids.items():
            await until(caller, existing_id, step)
            if step != "manual_review":
                await workflow_env.until_recorded(existing_id, lambda status: status.ended)
        document = (await caller.get("/openapi.json")).json()
        assert {"/orders", "/readyz"} <= set(document["paths"])
        assert "/metrics" not in document["paths"]
        await asyncio.to_thread(check_all_routes, document, process, list(order_ids.values()))


def check_all_routes(document, url: str, order_ids: list[str]) -> None:
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    failures = []
    with requests.Session() as session:
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                for mode in modes(operation):
                    try:
                        check_route(schema[path][method.upper()], mode, session, order_ids)
                    except Exception as error:  # noqa: BLE001 - collects the failures of all routes
                        failures.append(f"{method} {path} {mode}: {error}")
    assert not failures, "\n\n".join(failures)


def modes(operation) -> list[schemathesis.GenerationMode]:
    """Valid requests, and invalid ones if the route has parameters or a body."""
    has_input = operation.get("parameters") or operation.get("requestBody")
    return list(schemathesis.GenerationMode) if has_input else [schemathesis.GenerationMode.POSITIVE]


def check_route(operation, mode, session: requests.Session, order_ids: list[str]) -> None:
    # The stream of an order that has not ended does not end.
    names = [*order_ids[1:], "unknown"] if operation.path.endswith("/watch") else [None, None, *order_ids]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), order=st.sampled_from(names))
    def check(case, order) -> None:
        if order is not None:
            name_order(case, order)
        case.validate_response(call(case, session), checks=CHECKS)

    check()
