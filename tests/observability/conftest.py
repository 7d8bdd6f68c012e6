"""Orders in a real API server, and a Prometheus that scrapes the processes of a test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "operator"))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))
sys.path.insert(0, str(Path(__file__).parents[1] / "demo"))

from operator_fixtures import shop

from support.own_prometheus import running

__all__ = ["shop"]


@pytest.fixture
def scraping(tmp_path: Path) -> Iterator[Any]:
    """Start a Prometheus that scrapes ports by job, each second."""
    with ExitStack() as stack:
        yield lambda jobs, rules="": stack.enter_context(running(tmp_path, jobs, rules))
