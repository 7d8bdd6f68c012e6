"""Helm for the tests of the charts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orderfleet_local.provision.resolver import provide

sys.path.insert(0, str(Path(__file__).parent))

from helm import Helm


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm(provide(["helm"])["helm"])
