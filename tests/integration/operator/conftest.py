"""Fixtures of the operator's integration tests."""

from __future__ import annotations

from integration.operator.operator_fixtures import shop, workers

__all__ = ["shop", "workers"]
