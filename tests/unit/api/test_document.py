"""The OpenAPI document and the documentation page."""

from __future__ import annotations

import re

import httpx
import pytest
from starlette.routing import Mount

from orderfleet.api.app import create_app
from orderfleet.api.dependencies import Readiness, Services
from orderfleet.settings import Settings


@pytest.fixture
def app():
    return create_app(
        Services(Settings(), orders=None, payments=None, refunds=None, stock=None, readiness=Readiness({}), fanout=None)
    )


@pytest.fixture
def operations(app):
    return [
        (f"{method} {path}", operation)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_error_is_documented_as_a_problem_with_an_example(operations):
    for name, operation in operations:
        for status, response in operation["responses"].items():
            if status < "400" or "/readyz" in name:
                continue
            content = response["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}, name
            assert content["example"]["status"] == int(status), name
            assert ("Retry-After" in response.get("headers", {})) == (status in {"429", "503"}), name


def test_every_success_has_an_example_that_matches_its_schema(app, operations):
    schemas = app.openapi()["components"]["schemas"]
    for name, operation in operations:
        if any(probe in name for probe in ("/healthz", "/readyz")):
            continue
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/json")
            if status >= "300" or content is None:
                continue
            schema = schemas[content["schema"]["$ref"].rpartition("/")[2]]
            assert set(schema["required"]) <= content["example"].keys() <= schema["properties"].keys(), name
            assert response["description"] != "Successful Response", name


def test_every_body_has_an_example(app, operations):
    for name, operation in operations:
        body = operation.get("requestBody")
        if body is not None:
            assert "example" in str(body) + str(app.openapi()["components"]["schemas"][_named(body)]), name


def _named(body):
    schema = body["content"]["application/json"]["schema"]
    one = next(part for part in schema.get("anyOf", [schema]) if "$ref" in part)
    return one["$ref"].rpartition("/")[2]


def test_every_route_but_probes_and_signed_webhooks_requires_authentication(operations):
    for name, operation in operations:
        is_public = any(path in name for path in ("/healthz", "/readyz", "/webhooks/stripe"))
        assert operation.get("security") == (None if is_public else [{"bearer": []}]), name
        assert ("401" in operation["responses"]) is not is_public, name


def test_every_route_of_orders_documents_its_422_and_503(operations):
    for name, operation in operations:
        if "/orders" in name:
            assert {"422", "503"} <= operation["responses"].keys(), name
            assert operation["summary"]


def test_every_reference_resolves(app):
    text = str(app.openapi())
    schemas = app.openapi()["components"]["schemas"]
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in schemas
    assert "HTTPValidationError" not in schemas


def test_every_link_names_an_operation_and_its_parameters(operations):
    by_id = {operation["operationId"]: operation for _, operation in operations}
    linked = set()
    for name, operation in operations:
        for response in operation["responses"].values():
            for link in response.get("links", {}).values():
                target = by_id[link["operationId"]]
                assert link["parameters"].keys() <= {each["name"] for each in target["parameters"]}, name
                required = {each["name"] for each in target["parameters"] if each["required"]}
                assert required <= link["parameters"].keys(), name
                linked.add(name)
    answers = {name for name, operation in operations if "/orders" in name and "/updates" not in name}
    assert answers - linked == {"get /orders/{order_id}/watch"}


async def test_documentation_page_loads_no_external_assets(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as caller:
        page = (await caller.get("/docs")).text
        assets = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert assets
        for asset in assets:
            assert asset.startswith("/"), asset
            assert (await caller.get(asset)).status_code == 200, asset
    assert any(isinstance(route, Mount) for route in app.routes)
