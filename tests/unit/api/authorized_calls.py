"""Requests to an API without orders: the status of a response shows whether the caller is authorized."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx

from orderfleet.api.access import Access
from orderfleet.api.app import create_app
from orderfleet.api.dependencies import Readiness, Services
from orderfleet.settings import Settings
from support.identity_provider import AUDIENCE, ISSUER
from support.no_orders import NoOrders

LONG_TIMEOUT = timedelta(seconds=60)
ROUTES = {
    "read": ("GET", "/orders/ord-1"),
    "operate": ("POST", "/orders/ord-1/cancel"),
    "carrier": ("POST", "/orders/ord-1/shipments/shipping-ord-1-1/updates"),
}
JWT_SETTINGS = {
    "api_auth": "jwt",
    "api_jwks_url": "https://id.example.com/keys",
    "api_jwt_issuer": ISSUER,
    "api_jwt_audience": AUDIENCE,
}


@asynccontextmanager
async def api(access: Access) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        Services(Settings(), NoOrders(), None, None, None, Readiness({}), None, access, request_timeout=LONG_TIMEOUT)
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as caller:
        yield caller


async def ask(caller: httpx.AsyncClient, role: str, token: str | None) -> httpx.Response:
    method, path = ROUTES[role]
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    body = {"status": "delivered"} if role == "carrier" else None
    return await caller.request(method, path, headers=headers, json=body)
