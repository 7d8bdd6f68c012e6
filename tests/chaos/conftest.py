"""Fixtures of other suites that the chaos tests use."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "operator"))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parent))

import pytest
import structlog
from operator_fixtures import shop, workers

__all__ = ["shop", "workers"]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """Hide the log of expected failures: the run prints its own figures."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
