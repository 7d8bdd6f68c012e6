"""Terms of payment in a start, what a payment waits for in the status, and `POST /orders/{id}/payment/retry`."""

from __future__ import annotations

import pytest

from orderfleet.domain.errors import PaymentRefused
from support.polling import eventually
from support.scripted_providers import fails

AUTO = {"mode": "auto"}
ON_SHIPMENT = {"capture": "onShipment", "method": "card-1"}


async def held(caller, workflow_env, order_id, new_order):
    """Start an order whose first capture is refused, and return its status once it is held."""
    workflow_env.provider.capturing.before.append(fails(PaymentRefused("no funds")))
    await new_order(caller, order_id, review=AUTO, payment=ON_SHIPMENT)

    async def status():
        return (await caller.get(f"/orders/{order_id}")).json()

    return await eventually(status, lambda found: "hold" in found)


@pytest.mark.parametrize("body", [None, {}, {"method": "card-2"}], ids=["no body", "empty", "method"])
async def test_held_order_is_captured_again(api, workflow_env, order_id, new_order, until, body):
    async with api() as caller:
        status = await held(caller, workflow_env, order_id, new_order)
        assert (status["hold"]["name"], status["hold"]["reason"]) == ("payment_required", "no funds")
        assert set(status["hold"]) == {"name", "reason", "remedy", "since", "until"}
        url = f"/orders/{order_id}/payment/retry"
        answer = await (caller.post(url) if body is None else caller.post(url, json=body))
        assert (answer.status_code, answer.json()["result"]) == (200, "accepted"), answer.text
        assert answer.json()["message"] == f"order {order_id} is capturing its payment again"
        ended = await until(caller, order_id, "shipped")
    assert "hold" not in ended
    assert (ended["payment"]["status"], ended["payment"]["captured"]) == ("CHARGED", "19.98")
    assert workflow_env.provider.balance(f"pay-{order_id}") == 1


async def test_retry_of_an_order_without_a_hold_is_409_with_the_reason(api, workflow_env, order_id, new_order, until):
    async with api() as caller:
        await new_order(caller, order_id)
        await until(caller, order_id, "manual_review")
        answer = await caller.post(f"/orders/{order_id}/payment/retry")
        assert answer.status_code == 409
        assert "does not wait for its payment to be captured" in answer.text
        unknown = await caller.post(f"/orders/{order_id}-none/payment/retry")
        assert unknown.status_code == 404


@pytest.mark.parametrize(
    ("body", "field", "problem"),
    [
        ({"method": "x" * 256}, "method", "has more than 255 characters"),
        ({"methods": "card-2"}, "methods", "is not known"),
        ({"method": 7}, "method", ""),
    ],
)
async def test_retry_with_a_wrong_body_is_422(api, order_id, body, field, problem):
    async with api() as caller:
        answer = await caller.post(f"/orders/{order_id}/payment/retry", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert problem in answer.text


@pytest.mark.parametrize(
    ("payment", "field", "problem"),
    [
        ({"capture": "later"}, "payment.capture", "'immediate' or 'onShipment'"),
        ({"method": "x" * 256}, "payment.method", "has more than 255 characters"),
        ({"captures": "immediate"}, "payment.captures", "capture"),
    ],
)
async def test_start_with_wrong_terms_of_payment_is_422(api, order_id, new_order, payment, field, problem):
    async with api() as caller:
        answer = await new_order(caller, order_id, expected=422, payment=payment)
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert problem in answer.json()["errors"][0]["message"]


async def test_pending_payment_has_url_and_until_in_the_status(api, workflow_env, order_id, new_order):
    async with api() as caller:
        await new_order(caller, order_id, review=AUTO, payment={"method": "pending"})

        async def pending():
            return (await caller.get(f"/orders/{order_id}")).json().get("payment", {}).get("pending")

        found = await eventually(pending)
        assert found["url"].startswith("https://")
        assert (await caller.get(f"/orders/{order_id}/status")).json()["payment"]["pending"] == found
        assert (await caller.post(f"/orders/{order_id}/cancel")).status_code == 200


async def test_setting_is_the_default_of_the_capture(api, workflow_env, order_id, new_order, until):
    async with api(payment_capture="onShipment") as caller:
        await new_order(caller, order_id, review=AUTO)
        await until(caller, order_id, "shipped")
        kinds = [event["kind"] for event in (await caller.get(f"/orders/{order_id}/events")).json()["events"]]
    assert "authorized" in kinds
    assert "captured" in kinds
