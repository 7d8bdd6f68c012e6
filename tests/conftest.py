"""Fixtures of every suite: real parts, shared by the session, with a place of its own per test.

`backing.py` beside it does the work; here stand only the fixtures and the hooks that carry the
session's folder to pytest-xdist workers.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
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

from backing import Backing, Kubernetes, session
from orderfleet_local.stack import processes

_FOLDER = "orderfleet_backing"
_closing = pytest.StashKey[ExitStack]()
_backing = pytest.StashKey[Backing]()


@dataclass(frozen=True)
class TaskQueues:
    """Queue names that no other test uses."""

    orders: str
    shipping: str


# How long an example takes is the machine's matter: one that stands still would fail any of them.
settings.register_profile("orderfleet", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("orderfleet")


def pytest_configure(config: pytest.Config) -> None:
    # As the product's own console does: a traceback with every local variable costs more than the test it is of.
    *before, _ = structlog.get_config()["processors"]
    structlog.configure([*before, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])
    worker_input = getattr(config, "workerinput", None)
    if worker_input is not None:
        config.stash[_backing] = Backing(Path(worker_input[_FOLDER]))
        return
    closing = ExitStack()
    config.stash[_backing] = closing.enter_context(session())
    config.stash[_closing] = closing


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[_FOLDER] = str(node.config.stash[_backing].folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    closing = config.stash.get(_closing, None)
    if closing is not None:
        closing.close()
    processes.forget_children()


@pytest.fixture(scope="session")
def backing(pytestconfig: pytest.Config) -> Backing:
    """The session's real parts, each started by the first test that needs it."""
    return pytestconfig.stash[_backing]


@pytest.fixture
def postgres_url(backing: Backing) -> Iterator[str]:
    """A database of the test's own, with the migrations applied."""
    with backing.database(migrated=True) as url:
        yield url


@pytest.fixture
def empty_postgres_url(backing: Backing) -> Iterator[str]:
    """A database of the test's own, empty."""
    with backing.database(migrated=False) as url:
        yield url


@pytest.fixture
def temporal_address(backing: Backing) -> str:
    """The `host:port` of a real Temporal dev server, shared: use `task_queues` and fresh ids."""
    return backing.temporal_address()


@pytest.fixture
async def temporal_client(temporal_address: str) -> Client:
    """A client of the dev server that converts pydantic models."""
    return await Client.connect(temporal_address, data_converter=pydantic_data_converter)


@pytest.fixture
def task_queues() -> TaskQueues:
    """Queue names of the test's own."""
    unique = uuid.uuid4().hex[:12]
    return TaskQueues(orders=f"orders-{unique}", shipping=f"shipping-{unique}")


@pytest.fixture
async def time_skipping_env(backing: Backing) -> AsyncIterator[WorkflowEnvironment]:
    """A time-skipping server of the test's own: its clock is one for all workflows in it."""
    environment = await WorkflowEnvironment.start_time_skipping(
        data_converter=pydantic_data_converter,
        test_server_existing_path=str(backing.test_server()),
        test_server_startup_timeout=timedelta(seconds=60),
    )
    async with environment:
        yield environment


@pytest.fixture
def kubernetes(backing: Backing) -> Kubernetes:
    """A real API server that knows Orders, with a namespace of the test's own."""
    return backing.kubernetes()
