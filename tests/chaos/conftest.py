"""Fixtures of other suites that the chaos tests use."""

from __future__ import annotations

import pytest
import structlog

from support.operator_env import api_server_proxy, operator_env, workers

__all__ = ["api_server_proxy", "operator_env", "workers"]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """Hide the log of expected failures: the run prints its own figures."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
