"""Fixtures of the operator's integration tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "workflows"))

from operator_fixtures import shop, workers

__all__ = ["shop", "workers"]
