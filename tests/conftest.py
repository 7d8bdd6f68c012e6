"""Fixtures of every suite: real services, shared by the session, with a database, queues or a namespace for each test.

`support.backing` starts the services; the hooks here pass the session's folder to pytest-xdist workers.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from orderfleet_local.stack import processes
from support.backing import Backing, Kubernetes, session
from support.role_processes import RoleProcesses

_FOLDER = "orderfleet_backing"
_exit_stack = pytest.StashKey[ExitStack]()
_backing = pytest.StashKey[Backing]()


@dataclass(frozen=True)
class TaskQueues:
    """Task queue names of one test."""

    orders: str
    shipping: str


# No deadline: a busy machine would fail any example.
settings.register_profile("orderfleet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("orderfleet")


def pytest_configure(config: pytest.Config) -> None:
    # As the product's console does: a traceback with all local variables takes longer than the test.
    *before, _ = structlog.get_config()["processors"]
    structlog.configure([*before, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])
    worker_input = getattr(config, "workerinput", None)
    if worker_input is not None:
        config.stash[_backing] = Backing(Path(worker_input[_FOLDER]))
        return
    exit_stack = ExitStack()
    config.stash[_backing] = exit_stack.enter_context(session())
    config.stash[_exit_stack] = exit_stack


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[_FOLDER] = str(node.config.stash[_backing].folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    exit_stack = config.stash.get(_exit_stack, None)
    if exit_stack is not None:
        exit_stack.close()
    processes.forget_children()


@pytest.fixture(scope="session")
def backing(pytestconfig: pytest.Config) -> Backing:
    """The session's real services, each started by the first test that needs it."""
    return pytestconfig.stash[_backing]


@pytest.fixture
def postgres_url(backing: Backing) -> Iterator[str]:
    """A database for one test, with the migrations applied."""
    with backing.database(migrated=True) as url:
        yield url


@pytest.fixture
def empty_postgres_url(backing: Backing) -> Iterator[str]:
    """An empty database for one test."""
    with backing.database(migrated=False) as url:
        yield url


@pytest.fixture
def temporal_address(backing: Backing) -> str:
    """The `host:port` of a real Temporal dev server, which is shared: use `task_queues` and new ids."""
    return backing.temporal_address()


@pytest.fixture
async def temporal_client(temporal_address: str) -> Client:
    """A client of the dev server that converts pydantic models."""
    return await Client.connect(temporal_address, data_converter=pydantic_data_converter)


@pytest.fixture
def task_queues() -> TaskQueues:
    """Task queue names for one test."""
    unique = uuid.uuid4().hex[:12]
    return TaskQueues(orders=f"orders-{unique}", shipping=f"shipping-{unique}")


@pytest.fixture
async def time_skipping_env(backing: Backing) -> AsyncIterator[WorkflowEnvironment]:
    """A time-skipping server for one test, since all its workflows share one clock."""
    environment = await WorkflowEnvironment.start_time_skipping(
        data_converter=pydantic_data_converter,
        test_server_existing_path=str(backing.test_server()),
        test_server_startup_timeout=timedelta(seconds=60),
    )
    async with environment:
        yield environment


@pytest.fixture
def kubernetes(backing: Backing) -> Kubernetes:
    """A real API server with the Order resource, and a namespace for one test."""
    return backing.kubernetes()


@pytest.fixture
def role_environment(temporal_address: str, postgres_url: str, task_queues: TaskQueues) -> dict[str, str]:
    """Environment variables of processes of the product's roles; a suite may add to them."""
    return {
        "ORDERFLEET_ENVIRONMENT": "local",
        "ORDERFLEET_TEMPORAL_ADDRESS": temporal_address,
        "ORDERFLEET_DATABASE_URL": postgres_url,
        "ORDERS_TASK_QUEUE": task_queues.orders,
        "SHIPPING_TASK_QUEUE": task_queues.shipping,
        "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
        "ORDERFLEET_API_HOST": "127.0.0.1",
        "ORDERFLEET_DRAIN_TIMEOUT": "5s",
    }


@pytest.fixture(name="processes")
async def role_processes(role_environment: dict[str, str], tmp_path: Path) -> AsyncIterator[RoleProcesses]:
    """Starts processes of the product's roles, and stops them at the end of the test."""
    async with AsyncExitStack() as stack:
        yield RoleProcesses(stack, role_environment, tmp_path)
