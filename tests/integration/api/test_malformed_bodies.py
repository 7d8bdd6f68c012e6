"""Malformed and unusual bodies: rejected or accepted unchanged, and never an internal error."""

from __future__ import annotations

import pytest

ADDRESS = '{"street": "1 Main St", "city": "Springfield", "state": "IL", "zip": "62701", "country": "US"}'
ORDER = '{"items": [{"sku": %s, "qty": %s, "price": %s}], "address": ' + ADDRESS + "}"
TEA = ('"tea"', "1", "1")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[" * 100_000, 400),
        ('{"items": ' * 20_000, 400),
        ("[" * 950 + "]" * 950, 400),
        ('{"items": [' + "[" * 950 + "]" * 950 + "]}", 400),
        ('{"a": ' * 950 + "1" + "}" * 950, 400),
        ('{"order_id": "a", "order_id": "b"}', 400),
        ('{"items": [{"sku": "a", "qty": 1, "qty": 2}]}', 400),
        ("1" * 10_000, 400),
        (b"\xff\xfe", 400),
        ("null", 422),
        ('"text"', 422),
        ("[]", 422),
        (ORDER % ('"\\ud800"', "1", "1"), 422),
        (ORDER % ('"tea"', "1e400", "1"), 422),
        (ORDER % ('"tea"', "1", "NaN"), 422),
        (ORDER % ('"tea"', "1", '"Infinity"'), 422),
        (ORDER % ('"tea"', "1", "1e30"), 422),
        (ORDER % ('"tea"', "1", '"9e999999"'), 422),
        (ORDER % ('"tea"', "1", '"1e-999999"'), 422),
        (ORDER % ('"tea"', "1", '"1e999999999999999999"'), 422),
        (ORDER % ('"tea"', "1" + "0" * 400, "1"), 422),
        (f'{{"deadline": "99999999999h", {ORDER[1:] % TEA}', 422),
        (f'{{"review": {{"timeout": 1e300}}, {ORDER[1:] % TEA}', 422),
        (ORDER % ('"tea"', "-1", "1"), 422),
        (ORDER % ('"tea\\u0000"', "1", "1"), 201),
        (ORDER % ('"\\u2603"', "1", '"0.0001"'), 201),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_malformed_body_is_rejected_or_accepted_without_an_internal_error(api, body, status):
    async with api() as caller:
        answer = await caller.post("/orders", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    if status >= 400:
        assert answer.json()["type"] == f"urn:orderfleet:problem:{'malformed' if status == 400 else 'invalid'}"
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "body", ['{"reason": "\\u0000"}', '{"reason": "\\ud83d\\ude80"}', '{"reason": "\\ud800"}', '{"reason": ""}']
)
async def test_unusual_reason_cancels_or_is_rejected(api, workflow_env, order_id, new_order, until, body):
    async with api() as caller:
        await new_order(caller, order_id)
        await until(caller, order_id, "manual_review")
        path = f"/orders/{order_id}/cancel"
        answer = await caller.post(path, content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == (422 if "ud800" in body else 200), answer.text
        if answer.status_code == 200:
            await until(caller, order_id, "canceled")
            await workflow_env.until_recorded(order_id, lambda status: status.ended)
