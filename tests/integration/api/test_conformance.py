"""The API's process against the OpenAPI document it serves: what schemathesis makes of it, for every route.

The requests are the same in every run. Half of them name orders that are there, at several steps.
"""

from __future__ import annotations

import asyncio

import httpx
import pytest
import requests
import schemathesis
from conforming import CHECKS, answered, name_order
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

EXAMPLES = 6
"""Of a kind for each route."""


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_every_response_conforms_to_the_openapi_document(process, running, order_id, new_order, until):
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
        assert {"/orders", "/readyz"} <= set(document["paths"])
        assert "/metrics" not in document["paths"]
        await asyncio.to_thread(ask_everything, document, process, list(known.values()))


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
            name_order(case, order)
        case.validate_response(answered(case, session), checks=CHECKS)

    one()
