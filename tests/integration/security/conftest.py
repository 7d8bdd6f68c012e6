"""Two certificate authorities, each with certificates for 127.0.0.1."""

from __future__ import annotations

from pathlib import Path

import pytest

from orderfleet_local.stack import certificates
from orderfleet_local.stack.certificates import Certificates


@pytest.fixture
def own_ca(tmp_path: Path) -> Certificates:
    return certificates.ensure(tmp_path / "own_ca")


@pytest.fixture
def other_ca(tmp_path: Path) -> Certificates:
    return certificates.ensure(tmp_path / "other_ca")
