"""Fixtures of the operator's integration tests."""

from __future__ import annotations

import pytest

from support.operator_env import OperatorTestEnv, api_server_proxy, shop, workers

__all__ = ["api_server_proxy", "shop", "workers"]


@pytest.fixture
def role_environment(shop: OperatorTestEnv) -> dict[str, str]:
    return shop.environment()
