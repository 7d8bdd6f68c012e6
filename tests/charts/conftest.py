"""Helm for the tests of the charts."""

from __future__ import annotations

import pytest

from charts.helm import Helm
from orderfleet_local.provision.resolver import provide


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm(provide(["helm"])["helm"])
