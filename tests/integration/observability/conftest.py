"""All roles as processes, a receiver of traces, and Orders in a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orderfleet_local.stack import ports
from support.operator_env import operator_env
from support.otlp_receiver import Receiver, run_receiver

__all__ = ["operator_env"]


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with run_receiver(tmp_path, ports.choose(0)) as running:
        yield running


@pytest.fixture
def role_environment(role_environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return {
        **role_environment,
        "ORDERFLEET_LOG_FORMAT": "json",
        "ORDERFLEET_SIMULATED_LEDGER": str(tmp_path / "ledger.db"),
        "ORDERFLEET_STEP_INITIAL_INTERVAL": "50ms",
        "ORDERFLEET_STEP_BACKOFF": "1",
    }
