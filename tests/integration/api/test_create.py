"""`POST /orders`: accepted, repeated, conflicting and rejected requests."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from orderfleet.domain.events import Progress
from orderfleet.domain.order import OrderInput
from orderfleet.domain.status import Step
from orderfleet.store.pool import Database
from orderfleet.store.writes import OrderWrites
from support.factories import ADDRESS_JSON

ITEMS = [{"sku": "widget", "qty": 2, "price": "9.99"}]


async def test_order_is_started_approved_and_shipped(api, workflow_env, order_id, until):
    async with api() as caller:
        created = await caller.post("/orders", json={"order_id": order_id, "items": ITEMS, "address": ADDRESS_JSON})
        assert created.status_code == 201, created.text
        assert created.headers["location"] == f"/orders/{order_id}"
        assert created.json()["workflow_id"] == f"order-{order_id}"
        assert created.json()["payment_id"] == f"pay-{order_id}"
        assert "waits for approval" in created.json()["message"]

        waiting = await until(caller, order_id, "manual_review")
        moved = dict.fromkeys(("authorized", "captured", "refunded"), "0.00")
        assert waiting["payment"] == {
            "id": f"pay-{order_id}",
            "status": None,
            "amount": "19.98",
            "currency": "USD",
            **moved,
        }
        approved = await caller.post(f"/orders/{order_id}/signals/approve")
        assert (approved.status_code, approved.json()["result"]) == (200, "accepted")

        shipped = await until(caller, order_id, "shipped")
        assert shipped["source"] == "workflow"
        assert shipped["payment"]["status"] == "CHARGED"
        assert shipped["shipments"][0]["tracking_number"]
    assert workflow_env.provider.charges[f"pay-{order_id}"] == 1


@pytest.mark.parametrize("terms", [{"review": {"mode": "auto"}}, {"approved": True}])
async def test_order_that_needs_no_review_ships_by_itself(api, workflow_env, order_id, until, terms):
    async with api() as caller:
        body = {"order_id": order_id, "items": ITEMS, "address": ADDRESS_JSON, **terms}
        created = await caller.post("/orders", json=body)
        assert "needs no approval" in created.json()["message"]
        await until(caller, order_id, "shipped")


async def test_same_order_id_with_the_same_content_is_the_same_order(api, workflow_env, order_id, until):
    async with api() as caller:
        first = await caller.post("/orders", json={"order_id": order_id, "items": ITEMS, "address": ADDRESS_JSON})
        spelled_differently = {
            "order_id": order_id,
            "items": [{"sku": "widget", "qty": 2, "price": "9.990"}],
            "shipping_address": {"line1": "1 Main St", **{k: v for k, v in ADDRESS_JSON.items() if k != "street"}},
        }
        again = await caller.post("/orders", json=spelled_differently)
        assert again.status_code == first.status_code == 201
        assert again.json() == first.json()
        assert again.headers["idempotency-replayed"] == "true"
        assert "idempotency-replayed" not in first.headers

        await caller.post(f"/orders/{order_id}/signals/approve")
        await until(caller, order_id, "shipped")
        after_the_end = await caller.post("/orders", json=spelled_differently)
        assert after_the_end.json() == first.json()


async def test_same_order_id_with_another_content_is_a_conflict(api, workflow_env, order_id):
    async with api() as caller:
        body = {"order_id": order_id, "items": ITEMS, "address": ADDRESS_JSON}
        await caller.post("/orders", json=body)
        other = await caller.post("/orders", json={**body, "currency": "EUR"})
    assert other.status_code == 409
    assert other.headers["content-type"] == "application/problem+json"
    assert other.json()["type"] == "urn:orderfleet:problem:order-id-conflict"
    assert order_id in other.json()["detail"]


async def test_payment_id_of_another_order_is_a_conflict(api, workflow_env, order_id, until):
    async with api() as caller:
        body = {"order_id": order_id, "items": ITEMS, "address": ADDRESS_JSON, "payment_id": f"shared-{order_id}"}
        first = await caller.post("/orders", json=body)
        await until(caller, order_id, "manual_review")
        other = await caller.post("/orders", json={**body, "order_id": f"{order_id}-2"})
        again = await caller.post("/orders", json=body)
        assert (await caller.get(f"/orders/{order_id}-2")).status_code == 404
    assert other.status_code == 409
    assert other.json()["type"] == "urn:orderfleet:problem:payment-id-conflict"
    assert f"'shared-{order_id}' belongs to another order; choose another payment id" in other.json()["detail"]
    assert again.json() == first.json()


async def test_unique_reference_of_another_order_is_a_conflict_that_names_it(api, workflow_env, order_id, until):
    body = {"order_id": order_id, "items": ITEMS, "address": ADDRESS_JSON, "reference": f"#{order_id}"}
    async with api(unique_reference=True) as caller:
        first = await caller.post("/orders", json=body)
        await until(caller, order_id, "manual_review")
        other = await caller.post("/orders", json={**body, "order_id": f"{order_id}-2"})
        again = await caller.post("/orders", json=body)
    assert other.status_code == 409
    assert other.json()["type"] == "urn:orderfleet:problem:reference-conflict"
    assert other.json()["detail"] == f"reference '#{order_id}' belongs to order '{order_id}'; choose another one"
    assert again.json() == first.json()


async def test_order_with_adjustments_and_reference_is_shown_and_found(api, workflow_env, order_id, until):
    body = {
        "order_id": order_id,
        "items": [{"id": "tea", "sku": "widget", "qty": 3, "price": "0.3333"}, {"sku": "widget", "qty": 1, "price": 1}],
        "address": ADDRESS_JSON,
        "adjustments": [
            {"kind": "shipping", "amount": "4.90"},
            {"kind": "discount", "amount": -0.5, "line": "tea", "description": "10 % off"},
        ],
        "reference": f"2026/{order_id}",
    }
    async with api() as caller:
        assert (await caller.post("/orders", json=body)).status_code == 201
        spelled_differently = {**body, "adjustments": [{"kind": "shipping", "amount": 4.9}, body["adjustments"][1]]}
        assert (await caller.post("/orders", json=spelled_differently)).headers["idempotency-replayed"] == "true"
        status = await until(caller, order_id, "manual_review")
        found = await caller.get("/orders", params={"reference": f"2026/{order_id}"})
        assert not (await caller.get("/orders", params={"reference": ""})).json()["orders"]
    assert (status["payment"]["amount"], status["reference"]) == ("6.40", f"2026/{order_id}")
    assert [each["order_id"] for each in found.json()["orders"]] == [order_id]


async def test_empty_adjustments_and_reference_are_as_if_left_out(api, workflow_env, order_id):
    body = {"order_id": order_id, "items": ITEMS, "address": ADDRESS_JSON}
    async with api() as caller:
        await caller.post("/orders", json=body)
        for empty in ({"adjustments": [], "reference": ""}, {"adjustments": None, "reference": None}):
            again = await caller.post("/orders", json={**body, **empty})
            assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"currency": "XAU"}, "currency", "'XAU' is unknown"),
        ({"adjustments": [{"kind": "tax", "amount": "0.125"}]}, "adjustments[0].amount", "has 3 decimals, USD has 2"),
        ({"adjustments": [{"kind": "bonus", "amount": "1"}]}, "adjustments[0].kind", "'shipping', 'tax', 'discount'"),
        (
            {"items": [{"id": "shipping", "sku": "a", "qty": 1, "price": "1.00"}]},
            "items[0].id",
            "'shipping' is the line of the shipping costs; choose another id",
        ),
        ({"adjustments": [{"kind": "tax"}]}, "adjustments[0].amount", "is missing; give it"),
        ({"adjustments": [{"kind": "tax", "amount": "1", "sku": "a"}]}, "adjustments[0].sku", "is not known"),
    ],
)
async def test_invalid_money_is_422_with_its_field(api, order_id, given, field, message):
    async with api() as caller:
        body = {"order_id": order_id, "items": ITEMS, "address": ADDRESS_JSON, **given}
        answer = await caller.post("/orders", json=body)
    assert answer.status_code == 422
    assert field in answer.text
    assert message in answer.text


LONG = {"sku": 128, "street": 256, "city": 256, "state": 256, "zip": 32, "country": 256, "name": 256, "email": 320}


@pytest.mark.parametrize(
    ("field", "length"), [*LONG.items(), ("currency", 3), ("customer_email", 320), ("reference", 255)]
)
async def test_text_above_the_maximum_length_is_422_and_at_it_is_accepted(api, order_id, field, length):
    def body(text):
        item, address = {"sku": "tea", "qty": 1, "price": "4.50"}, dict(ADDRESS_JSON)
        more = {}
        match field:
            case "sku":
                item["sku"], path = text, "items[0].sku"
            case "name" | "email":
                more, path = {"customer": {field: text}}, f"customer.{field}"
            case "currency" | "customer_email" | "reference":
                more, path = {field: text}, field
            case _:
                address[field], path = text, f"address.{field}"
        return {"order_id": order_id, "items": [item], "address": address, **more}, path

    text = "USD" if field == "currency" else "☃" * length
    async with api() as caller:
        too_long, field_path = body(f"{text}x")
        rejected = await caller.post("/orders", json=too_long)
        assert rejected.status_code == 422
        [error] = rejected.json()["errors"]
        assert error == {"field": field_path, "message": f"has more than {length} characters; write less"}
        created = await caller.post("/orders", json=body(text)[0])
        assert created.status_code == 201, created.text


async def test_order_id_that_only_the_order_store_has_is_a_conflict(api, postgres_url, order_id):
    order = OrderInput(order_id=order_id, content_hash="of another order")
    async with Database(postgres_url, pool_size=1, timeout=timedelta(seconds=20)) as database:
        await OrderWrites(database).receive(
            order,
            workflow_id=f"order-{order_id}",
            run_id="gone",
            first_run_id="gone",
            started_at=datetime.now(UTC),
            progress=Progress(seq=1, step=Step.SHIPPED, completed_at=datetime.now(UTC)),
        )
    async with api() as caller:
        answer = await caller.post("/orders", json={"order_id": order_id, "items": ITEMS, "address": ADDRESS_JSON})
    assert answer.status_code == 409


async def test_idempotency_key_makes_one_order(api, workflow_env, order_id):
    async with api() as caller:
        key = {"Idempotency-Key": order_id}
        body = {"items": ITEMS, "address": ADDRESS_JSON}
        answers = await asyncio.gather(*(caller.post("/orders", json=body, headers=key) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["order_id"] for answer in answers}) == 1
        other = await caller.post("/orders", json={**body, "payment_id": "another"}, headers=key)
        assert other.status_code == 409


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"items": []}, "items", "there are none; add at least one"),
        ({"items": None}, "items", "is missing; give it"),
        ({"address": None}, "address", "is missing; give it"),
        ({"items": [{"sku": "a", "qty": 0, "price": "1"}]}, "items[0].qty", "0 is below 1; order at least one"),
        ({"items": [{"sku": "a", "qty": 1}]}, "items[0].price", "is missing; give it"),
        ({"items": [{"sku": "a", "qty": 1, "price": "-1"}]}, "items[0].price", "-1 is not a price; use 0 or more"),
        ({"items": [{"sku": "a", "qty": "many"}]}, "items[0].qty", "is not a whole number"),
        (
            {"address": {**ADDRESS_JSON, "city": " "}},
            "address.city",
            "is required in US; fill it in as in the country's postal addresses",
        ),
        ({"currency": "XXY"}, "currency", "'XXY' is unknown"),
        ({"order_id": "-no"}, "order_id", "has to be 1 to 128 letters, digits"),
        ({"review": {"timeout": "3 days"}}, "review.timeout", "'3 days' is not a duration"),
        ({"color": "red"}, "color", "is not known; leave it out"),
        (
            {"items": [{"sku": "tv", "qty": 1, "unit_price": "499.00"}]},
            "items[0].unit_price",
            "is not known; did you mean price?",
        ),
        ({"items": [{"sku": "a", "qty": True, "price": "1"}]}, "items[0].qty", "is not a whole number"),
        ({"items": [{"sku": "a", "qty": 1, "price": True}]}, "items[0].price", "is not a decimal number"),
        ({"address": {**ADDRESS_JSON, "postcode": "1"}}, "address.postcode", "is not known"),
        ({"address": {**ADDRESS_JSON, "line1": "1 Main St"}}, "address.line1", "is another name of street"),
        (
            {"customer": {"name": "Ada"}, "customer_name": "Eve"},
            "customer_name",
            "differs from customer.name; give only one of them",
        ),
        ({"customer": {"nmae": "Ada"}}, "customer.nmae", "did you mean name?"),
        ({"review": {"tiemout": "1h"}}, "review.tiemout", "did you mean timeout?"),
        ({"delivery": {"confirmed": True}}, "delivery.confirmed", "did you mean confirm?"),
        ({"delivery": {"confirm": "yes"}}, "delivery.confirm", "is neither true nor false"),
        ({"review": {"timeout": True}}, "review.timeout", "is not a duration"),
        ({"deadline": True}, "deadline", "is not a duration"),
        ({"approved": 1}, "approved", "is neither true nor false"),
    ],
)
async def test_invalid_order_is_422_and_names_the_field(api, change, field, message, order_id):
    async with api() as caller:
        body = {"order_id": order_id, "items": ITEMS, "address": ADDRESS_JSON, **change}
        answer = await caller.post("/orders", json={name: value for name, value in body.items() if value is not None})
        assert answer.status_code == 422, answer.text
        problem = answer.json()
        assert [error["field"] for error in problem["errors"]] == [field]
        assert message in problem["errors"][0]["message"]
        assert field in problem["detail"]
        if "order_id" not in change:
            assert (await caller.get(f"/orders/{order_id}")).status_code == 404


async def test_samples_replace_missing_fields_if_the_setting_is_on(api, workflow_env, order_id, until):
    async with api(environment="local", sample_orders=True) as caller:
        created = await caller.post("/orders", json={"order_id": order_id, "payment_id": f"paid-{order_id}"})
        assert created.json()["payment_id"] == f"paid-{order_id}"
        status = await until(caller, order_id, "manual_review")
    assert status["address"]["street"] == "1 Sample Street"
    assert status["payment"]["amount"] == "1.00"


async def test_body_that_is_not_json_is_400(api):
    async with api() as caller:
        answer = await caller.post("/orders", content="{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "the body is not JSON"
