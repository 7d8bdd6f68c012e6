"""The slow tests borrow what the quick ones of the same parts stand on."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "operator"))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parent))

from operator_fixtures import shop, workers

__all__ = ["shop", "workers"]
