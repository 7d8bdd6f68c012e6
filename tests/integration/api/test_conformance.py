"""The API against its own OpenAPI document: what schemathesis makes of it, right and wrong, for every route.

The requests are the same in every run. Half of them name orders that are there, at several steps.
"""

from __future__ import annotations

import asyncio

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from orderfleet.api.app import create_app
from orderfleet.api.readiness import Readiness
from orderfleet.api.services import Services
from orderfleet.runtime.settings import Settings

EXAMPLES = 6
"""Of a kind for each route."""
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
DOCUMENT = create_app(Services(Settings(), None, None, Readiness({}), None)).openapi()
OPERATIONS = [
    (method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods if path != "/readyz"
]


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_every_answer_to_every_request_is_as_documented(api, running, order_id, new_order, until):
    async with api(listening=True) as caller:
        known = {step: f"{order_id}-{step}" for step in ("manual_review", "canceled", "shipped")}
        for one in known.values():
            await new_order(caller, one)
        await caller.post(f"/orders/{known['canceled']}/cancel")
        await caller.post(f"/orders/{known['shipped']}/signals/approve")
        for step, one in known.items():
            await until(caller, one, step)
            if step != "manual_review":
                await running.until_recorded(one, lambda status: status.ended)
        await asyncio.to_thread(ask_everything, str(caller.base_url), list(known.values()))


def ask_everything(url: str, known: list[str]) -> None:
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    schema.config.update(base_url=url)
    failures = []
    with requests.Session() as session:
        for method, path in OPERATIONS:
            for mode in modes(DOCUMENT["paths"][path][method.lower()]):
                try:
                    ask(schema[path][method], mode, session, known)
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
        case.call_and_validate(session=session, checks=CHECKS, timeout=10)

    one()


def named(parameters, order: str):
    given = {"order_id": order, "workflow_id": f"order-{order}", "shipment_id": f"shipping-{order}-1"}
    return {name: given.get(name, value) for name, value in (parameters or {}).items()}
