"""The yard that the order machine plays in."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "workflows"))
sys.path.insert(0, str(Path(__file__).parent.parent / "unit" / "operator"))

from yard import Yard


@pytest.fixture
async def yard(time_skipping_env: WorkflowEnvironment, postgres_url: str) -> AsyncIterator[Yard]:
    made = Yard(time_skipping_env, postgres_url)
    await made.open()
    yield made
    await made.close()
