"""Addresses of the world through the command line: files, options and what it prints."""

from __future__ import annotations

import json

import pytest

from orderfleet.domain.order import Address
from orderfleet.domain.status import Step
from support.factories import order_manifest

WORLD = {
    "name": "\u200f\u05de\u05e8\u05d9\u05dd\u200e",
    "company": "\N{ROCKET} \N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL} Ltd",
    "street": "1 Nathan Road",
    "street2": "Flat 7",
    "district": "\u65fa\u89d2",
    "state": "Kowloon",
    "country": "HK",
    "phone": "+852 5555 0100",
}


async def test_address_in_any_script_is_started_changed_and_printed(orderfleet, workflow_env, order_id, tmp_path):
    first = {"line1": "1 Main St", "city": "Springfield", "country_code": "IE", "postal_code": "A65 F4E2"}
    manifest = tmp_path / "order.json"
    manifest.write_text(json.dumps(order_manifest(order_id, address=first)), "utf-8")
    started = await orderfleet("order", "start", "-f", str(manifest))
    assert started.code == 0, started.err
    before = await workflow_env.until_recorded(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    assert before.address == Address(**first)
    options = [part for name, value in {**WORLD, "city": "", "zip": ""}.items() for part in (f"--{name}", value)]
    moved = await orderfleet("order", "update-address", order_id, *options)
    assert moved.code == 0, moved.err
    await workflow_env.until_recorded(order_id, lambda status: status.address == Address(**WORLD))
    shown = await orderfleet("order", "status", order_id, "-o", "json")
    assert Address(**shown.document["address"]) == Address(**WORLD)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--country", "US", "--zip", ""], "address.zip: is required in US; write it as 95014"),
        (["--street", "a\udcff"], "--street: is no text in UTF-8"),
        (["--company", "x" * 257], "company: has more than 256 characters"),
    ],
)
@pytest.mark.parametrize("command", [["update-address"], ["signal"]])
async def test_invalid_address_is_rejected_with_its_field(
    orderfleet, workflow_env, order_id, command, options, problem
):
    await orderfleet("order", "start", order_id)
    await workflow_env.until_recorded(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    arguments = [*command, order_id, *(["update-address"] if command == ["signal"] else []), *options]
    result = await orderfleet("order", *arguments)
    if command == ["signal"] and result.code == 0:  # a raw signal; the order rejects it
        events = await workflow_env.reads.events(order_id)
        while not (reasons := [each.detail["reason"] for each in events if each.kind == "change_rejected"]):
            events = await workflow_env.reads.events(order_id)
        assert problem in reasons[0]
    else:
        assert result.code in {2, 4}
        assert problem in result.err
