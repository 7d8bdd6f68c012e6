"""Temporal or Postgres away: 503 that says when to come back, and what can go on does."""

from __future__ import annotations

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from orderfleet.stack import ports


@pytest.fixture
async def no_temporal() -> Client:
    """A client of a port where nothing listens."""
    address = f"127.0.0.1:{ports.choose(0)}"
    return await Client.connect(address, lazy=True, data_converter=pydantic_data_converter)


@pytest.fixture
def no_postgres() -> str:
    return f"postgresql://nobody@127.0.0.1:{ports.choose(0)}/nothing"


async def test_temporal_away_is_503_for_what_needs_it(api, no_temporal, order_id, new_order):
    async with api(temporal=no_temporal) as caller:
        answers = [
            await new_order(caller, order_id, expected=503),
            await caller.get(f"/orders/{order_id}/status"),
            await caller.post(f"/orders/{order_id}/signals/approve"),
        ]
    for answer in answers:
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "2"
        assert answer.json()["type"] == "urn:orderfleet:problem:temporal-away"
        assert "127.0.0.1" not in answer.text


async def test_record_answers_while_temporal_is_away(api, running, no_temporal, order_id, new_order, until):
    async with api() as caller:
        await new_order(caller, order_id)
        await running.until_recorded(order_id, lambda status: status.step == "manual_review")
    async with api(temporal=no_temporal) as caller:
        for path in ("", "/status"):
            answer = await caller.get(f"/orders/{order_id}{path}")
            assert (answer.status_code, answer.json()["source"]) == (200, "record")
        assert (await caller.get(f"/orders/{order_id}/events")).status_code == 200


async def test_orders_are_taken_and_asked_while_postgres_is_away(api, running, no_postgres, order_id, new_order, until):
    async with api(database_url=no_postgres) as caller:
        await new_order(caller, order_id)
        status = await until(caller, order_id, "manual_review")
        assert status["source"] == "workflow"
        assert (await caller.get(f"/orders/{order_id}")).json()["source"] == "workflow"
        events = await caller.get(f"/orders/{order_id}/events")
    assert events.status_code == 503
    assert events.json()["type"] == "urn:orderfleet:problem:store-away"


async def test_unexpected_error_shows_nothing_of_itself(api, running, order_id, monkeypatch):
    async def broken(*_args, **_kwargs):
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("orderfleet.client.OrderDesk.live", broken)
    async with api() as caller:
        caller._transport.raise_app_exceptions = False
        answer = await caller.get(f"/orders/{order_id}/status")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "hunter2" not in answer.text
