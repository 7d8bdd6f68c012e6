"""The OpenAPI document and the pages made of it."""

from __future__ import annotations

import re

import httpx
import pytest
from starlette.routing import Mount

from orderfleet.api.app import create_app
from orderfleet.api.readiness import Readiness
from orderfleet.api.services import Services
from orderfleet.runtime.settings import Settings


@pytest.fixture
def app():
    return create_app(Services(Settings(), desk=None, carrier=None, readiness=Readiness({}), fanout=None))


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
            assert ("Retry-After" in response.get("headers", {})) == (status == "503"), name


def test_every_route_of_orders_documents_when_it_is_away(operations):
    for name, operation in operations:
        if "/orders" in name:
            assert {"422", "503"} <= operation["responses"].keys(), name
            assert operation["summary"]


def test_every_reference_leads_somewhere(app):
    text = str(app.openapi())
    schemas = app.openapi()["components"]["schemas"]
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in schemas
    assert "HTTPValidationError" not in schemas


async def test_documentation_page_loads_nothing_from_elsewhere(app):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as caller:
        page = (await caller.get("/docs")).text
        assets = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert assets
        for asset in assets:
            assert asset.startswith("/"), asset
            assert (await caller.get(asset)).status_code == 200, asset
    assert any(isinstance(route, Mount) for route in app.routes)
