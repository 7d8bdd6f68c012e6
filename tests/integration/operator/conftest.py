"""Fixtures of the operator's integration tests."""

from __future__ import annotations

import pytest

from support.operator_env import OperatorTestEnv, api_server_proxy, operator_env, workers

__all__ = ["api_server_proxy", "operator_env", "workers"]


@pytest.fixture
def role_environment(operator_env: OperatorTestEnv) -> dict[str, str]:
    return operator_env.environment()
