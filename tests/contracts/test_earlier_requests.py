"""The table of earlier systems' requests is complete: each row has every way or says why not."""

from __future__ import annotations

import re
import shlex

import pytest

from orderfleet.api import orders, workflow_id_routes
from support.earlier_requests import REQUESTS, EarlierRequest, RawCall, differences


def request_of(curl: str) -> tuple[str, str]:
    """The method and path of a printed request, with `{…}` for ids."""
    words = shlex.split(curl.replace("\\\n", " "))
    (url,) = (word for word in words if word.startswith("http://localhost:8000/"))
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    return method, re.sub(r"(order-)?ord-1", "{}", url.removeprefix("http://localhost:8000"))


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda row: row.name)
def test_request_has_every_way_or_the_reason_why_not(request_: EarlierRequest):
    assert bool(request_.cli) != bool(request_.no_cli), "the command line"
    assert bool(request_.raw) != bool(request_.no_raw), "a raw client"
    assert request_.answer
    assert request_.order
    assert {RawCall.read(text).kind for text in request_.raw} <= {"start", "signal", "query"}


def test_requests_are_different():
    assert len({row.name for row in REQUESTS}) == len({row.curl.strip() for row in REQUESTS}) == len(REQUESTS)


def test_both_raw_starts_are_in_the_table():
    starts = [RawCall.read(text) for row in REQUESTS for text in row.raw]
    assert {len(call.arguments) for call in starts if call.kind == "start"} == {1, 4}


def test_every_signal_route_and_every_route_by_workflow_id_is_in_the_table():
    printed = {request_of(row.curl) for row in REQUESTS}
    routes = {
        (method, re.sub(r"\{\w+\}", "{}", route.path))
        for router in (orders.changes_router, workflow_id_routes.router)
        for route in router.routes
        if "/signals/" in route.path or router is workflow_id_routes.router
        for method in route.methods
    }
    assert routes
    assert routes <= printed


@pytest.mark.parametrize(
    ("found", "expected", "count"),
    [
        ({"a": 1, "b": 2}, {"a": 1}, 0),
        ({"a": 1}, {"a": 2}, 1),
        ({"a": None}, {"a": "*"}, 1),
        ({"a": None}, {"a": ""}, 0),
        ({}, {"a": {"b": 1}}, 1),
        ({"a": {"b": 1}}, {"a": {"b": 2, "c": 3}}, 2),
        ({"address": {"city": "c", "zip": ""}}, {"address": {"city": "c"}}, 0),
        ({"address": {"city": "c", "zip": "1"}}, {"address": {"city": "c"}}, 1),
        ({"address": {"street": "s", "zip": "1"}}, {"address": {"street": "s"}}, 0),
    ],
)
def test_difference_of_a_document_is_found(found, expected, count):
    assert len(differences(found, expected)) == count
