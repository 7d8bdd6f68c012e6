"""Fixtures for tests of the API with a real Temporal server, Postgres and workers."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any

import httpx
import pytest
import uvicorn

from orderfleet.api.access import Access
from orderfleet.api.app import create_app
from orderfleet.api.dependencies import Readiness, Services
from orderfleet.api.fanout import Fanout
from orderfleet.services.orders import OrderService
from orderfleet.services.payments import PaymentService
from orderfleet.services.refunds import RefundService
from orderfleet.services.stock import StockService
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings
from orderfleet.store.feed import PostgresChangeFeed
from orderfleet.store.finance import FinanceReads
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.stock_admin import StockAdmin
from support.factories import order_json
from support.polling import eventually
from support.role_processes import RoleProcesses
from support.workflow_env import WorkflowTestEnv, workflow_test_env

NO_AUTHENTICATION = Access()
LONG_TIMEOUT = timedelta(seconds=30)
"""Request timeout of tests that are not about time, so that they pass on a busy machine."""

Api = Callable[..., Any]


@pytest.fixture
def order_id() -> str:
    """A new order id: the Temporal server is shared by the session, and an order id can be used only once."""
    return f"api-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def workers(temporal_client, postgres_url, task_queues) -> Callable[[], Any]:
    """Returns a context manager that runs both workers."""
    return lambda: workflow_test_env(temporal_client, postgres_url, task_queues.orders, task_queues.shipping)


@pytest.fixture
async def workflow_env(workers) -> AsyncIterator[WorkflowTestEnv]:
    async with workers() as running_fleet:
        yield running_fleet


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Serve the app on a port: streams, and tests of the server itself, need a real connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    server.capture_signals = nullcontext
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        async with httpx.AsyncClient(base_url=url, timeout=30) as caller:
            yield caller
    finally:
        server.should_exit = server.force_exit = True
        await serving


@pytest.fixture
def api(temporal_client, postgres_url, task_queues) -> Api:
    """Returns a context manager that makes a client of an API.

    `temporal` and `database_url` replace the shared servers; other keywords are settings.
    """

    @asynccontextmanager
    async def api_client(
        *,
        temporal: Any = None,
        database_url: str = "",
        listening: bool = False,
        request_timeout: timedelta = LONG_TIMEOUT,
        access: Access = NO_AUTHENTICATION,
        heartbeat_seconds: float = 0.2,
        **settings: Any,
    ) -> AsyncIterator[httpx.AsyncClient]:
        api_settings = Settings(
            orders_task_queue=task_queues.orders,
            shipping_task_queue=task_queues.shipping,
            step_initial_interval="10ms",
            **settings,
        )
        # A test that passes its own database stops it, and would otherwise wait for the long timeout.
        database_timeout = timedelta(seconds=2) if database_url else LONG_TIMEOUT
        async with Database(database_url or postgres_url, pool_size=3, timeout=database_timeout) as database:
            client = OrderClient(temporal or temporal_client, task_queue=task_queues.orders, timeout=request_timeout)
            orders = OrderService(
                client,
                OrderReads(database),
                unique_reference=api_settings.unique_reference,
                timeout=request_timeout,
            )
            ledger = FinanceReads(database)
            fanout = Fanout(PostgresChangeFeed(database))
            app = create_app(
                Services(
                    api_settings,
                    orders,
                    PaymentService(orders, ledger, timeout=request_timeout),
                    RefundService.of(
                        temporal or temporal_client, orders, ledger, api_settings, timeout=request_timeout
                    ),
                    StockService(StockAdmin(database), timeout=request_timeout),
                    Readiness({}),
                    fanout,
                    access,
                    request_timeout=request_timeout,
                    heartbeat_seconds=heartbeat_seconds,
                )
            )
            try:
                if listening:
                    async with served(app) as caller:
                        yield caller
                else:
                    transport = httpx.ASGITransport(app)
                    async with httpx.AsyncClient(transport=transport, base_url="http://api", timeout=30) as caller:
                        yield caller
            finally:
                await fanout.close()

    return api_client


@pytest.fixture
async def process(processes: RoleProcesses) -> str:
    """URL of a ready `orderfleet api` process, configured as in a pod."""
    api = await processes.api()
    await api.answers("/readyz", 200)
    return f"http://127.0.0.1:{api.port}"


@pytest.fixture
def new_order() -> Callable[..., Any]:
    """Returns a function that starts a small valid order."""

    async def start_order(
        caller: httpx.AsyncClient, order_id: str, *, expected: int = 201, **changes: Any
    ) -> httpx.Response:
        answer = await caller.post("/orders", json=order_json(order_id, **changes))
        assert answer.status_code == expected, answer.text
        return answer

    return start_order


@pytest.fixture
def until() -> Callable[..., Any]:
    """Returns a function that polls an order's status until it is at one of the steps."""

    async def poll(caller: httpx.AsyncClient, order_id: str, *steps: str) -> dict[str, Any]:
        async def status() -> dict[str, Any]:
            return (await caller.get(f"/orders/{order_id}/status")).json()

        return await eventually(status, lambda found: found.get("step") in steps)

    return poll
