"""Orders in a real API server, and a Prometheus that scrapes the processes of a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.operator_env import operator_env
from support.own_prometheus import running

__all__ = ["operator_env"]


@pytest.fixture
def scraping(tmp_path: Path) -> Iterator[Any]:
    """Start a Prometheus that scrapes ports by job, each second."""
    with ExitStack() as stack:
        yield lambda jobs, rules="": stack.enter_context(running(tmp_path, jobs, rules))
