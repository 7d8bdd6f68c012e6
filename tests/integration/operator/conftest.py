"""Fixtures of the operator's integration tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from support.operator_env import OperatorTestEnv, shop, workers
from support.role_processes import RoleProcesses

__all__ = ["shop", "workers"]


@pytest.fixture
async def processes(shop: OperatorTestEnv, tmp_path: Path) -> AsyncIterator[RoleProcesses]:
    """Starts operators as processes."""
    async with AsyncExitStack() as stack:
        yield RoleProcesses(stack, shop.environment(), tmp_path)
