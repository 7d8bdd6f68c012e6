"""Worker processes, and the ledger of their simulated payment provider."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def role_environment(role_environment: dict[str, str], ledger: Path) -> dict[str, str]:
    return {**role_environment, "ORDERFLEET_SIMULATED_LEDGER": str(ledger)}
