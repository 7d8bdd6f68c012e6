"""Fixtures of the operator's integration tests."""

from __future__ import annotations

import pytest

from support.operator_env import OperatorTestEnv, shop, workers

__all__ = ["shop", "workers"]


@pytest.fixture
def role_environment(shop: OperatorTestEnv) -> dict[str, str]:
    return shop.environment()
