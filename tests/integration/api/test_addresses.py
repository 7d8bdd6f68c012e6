"""Addresses of the world, and invalid ones, against an API with the default settings."""

from __future__ import annotations

import pytest

from orderfleet.domain.order import Address
from support.factories import ADDRESS_JSON, ITEMS_JSON

STREET = {"street": "123 Main St"}
SAN_FRANCISCO = {**STREET, "city": "San Francisco"}
WORLD = [
    {"street": "彌敦道1號", "state": "九龍", "country": "HK", "phone": "+852 5555 0100"},
    {"street": "1 Orchard Road", "zip": "238823", "country": "SG"},
    {"street": "Hauptstr. 1", "street2": "2. OG", "city": "Berlin", "zip": "10115", "country": "DE"},
    {
        "name": "\u200f\u05de\u05e8\u05d9\u05dd\u200e",
        "company": "🚀 👨\u200d👩\u200d👧",
        "line1": "\u05d4\u05e8\u05e6\u05dc 1",
        "city": "\u05d7\u05d9\u05e4\u05d4",
        "country_code": "IL",
    },
    {"line1": "a", "line2": "b", "city": "c", "postal_code": "d", "country_code": "FR"},
]
REJECTED = [
    ({}, {"address.street", "address.city"}, "fill it in"),
    (STREET, {"address.city"}, "fill it in"),
    ({**SAN_FRANCISCO, "country": "US"}, {"address.state", "address.zip"}, "is required in US; write"),
    ({**STREET, "country": "SG"}, {"address.zip"}, "is required in SG; write it as 546080"),
    ({**SAN_FRANCISCO, "line1": "1 Side St"}, {"address.line1"}, "is another name of street"),
    ({**SAN_FRANCISCO, "zip": "1", "postal_code": "2"}, {"address.postal_code"}, "is another name of zip"),
    ({**SAN_FRANCISCO, "name": "a\0b"}, {"address.name"}, "has a NUL"),
    ({**SAN_FRANCISCO, "company": "x" * 257}, {"address.company"}, "has more than 256 characters"),
]


def ids(address: object) -> str:
    return str(address)[:50].encode("ascii", "replace").decode() if isinstance(address, dict) else ""


@pytest.mark.slow
@pytest.mark.parametrize("address", WORLD, ids=ids)
async def test_address_is_accepted_as_written_at_start_and_by_change(
    api, workflow_env, order_id, new_order, until, address
):
    changed_id, wanted = f"{order_id}-changed", Address.model_validate(address)
    async with api() as caller:
        created = await caller.post(
            "/orders", json={"order_id": order_id, "items": ITEMS_JSON, "address": address, "approved": True}
        )
        assert created.status_code == 201, created.text
        await new_order(caller, changed_id)
        await until(caller, changed_id, "manual_review")
        changed = await caller.post(f"/orders/{changed_id}/signals/update-address", json={"address": address})
        assert (changed.status_code, changed.json()["result"]) == (200, "accepted"), changed.text
        await caller.post(f"/orders/{changed_id}/signals/approve")
        for each in (order_id, changed_id):
            assert Address.model_validate((await until(caller, each, "shipped"))["address"]) == wanted
            assert [parcel.address for parcel in workflow_env.carrier.parcels[f"ship-{each}"]] == [wanted]


@pytest.mark.parametrize(("address", "fields", "remedy"), REJECTED, ids=ids)
async def test_invalid_address_is_422_at_start_and_by_change(
    api, workflow_env, order_id, new_order, until, address, fields, remedy
):
    async with api() as caller:
        await new_order(caller, order_id)
        await until(caller, order_id, "manual_review")
        answers = [
            await caller.post("/orders", json={"items": ITEMS_JSON, "address": address}),
            await caller.post(f"/orders/{order_id}/signals/update-address", json={"address": address}),
        ]
        for answer in answers[: 1 + bool(address)]:
            assert answer.status_code == 422, answer.text
            errors = answer.json()["errors"]
            assert {error["field"] for error in errors} == fields
            assert all(remedy in error["message"] for error in errors), errors
        status = (await caller.get(f"/orders/{order_id}/status")).json()
    assert status["address"] == ADDRESS_JSON


async def test_change_is_checked_as_at_the_start_after_the_setting_changed(
    api, workflow_env, order_id, new_order, until
):
    invalid = {**ADDRESS_JSON, "state": "TS"}
    path = f"/orders/{order_id}/signals/update-address"
    async with api(address_validation="strict", default_country="US") as strict:
        rejected = await strict.post("/orders", json={"items": ITEMS_JSON, "address": invalid})
        assert "is not one that US has" in rejected.json()["errors"][0]["message"]
        await new_order(strict, order_id)
        await until(strict, order_id, "manual_review")
    async with api(address_validation="basic") as basic:
        answer = await basic.post(path, json={"address": invalid})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "address.state"), answer.text
        without_country = await basic.post(path, json={"address": SAN_FRANCISCO})
        assert {error["field"] for error in without_country.json()["errors"]} == {"address.state", "address.zip"}
