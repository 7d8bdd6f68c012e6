"""The modules of this folder, and a Temporal server of a test's own that sees soon that a version is drained."""

from __future__ import annotations

import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from backing import Backing
from orderfleet.stack import processes, temporal_server
from orderfleet.stack.launch import launch
from orderfleet.stack.provision.ladder import provide

# Three minutes each by default.
_SOON = ("matching.wv.VersionDrainageStatusVisibilityGracePeriod", "matching.wv.VersionDrainageStatusRefreshInterval")


@pytest.fixture
def versioned_temporal(backing: Backing) -> Iterator[str]:
    """The `host:port` of the server."""
    folder = backing.folder / f"temporal-{uuid.uuid4().hex[:8]}"
    config = tuple(f'{name}="2s"' for name in _SOON)
    part = temporal_server.part(folder, provide(["temporal"])["temporal"], port=0, ui_port=None, more_config=config)
    try:
        yield temporal_server.address(launch(part, folder).ports)
    finally:
        for found in processes.find(folder).values():
            processes.end(found, by=signal.SIGKILL, bound=10)
