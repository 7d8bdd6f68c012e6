"""The wall clock of single processes, which a test sets ahead or back while they run.

libfaketime replaces the C library's time functions in the processes that get this environment, and in no other. The
monotonic clock and timers stay the machine's own, as when an administrator sets the clock.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

_HOUR = timedelta(hours=1)


class JumpingClock:
    """A wall clock that is correct until `jump`.

    Args:
        file: that holds the offset.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.environment = {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.jump(timedelta(0))

    def jump(self, offset: timedelta) -> None:
        """Set the clock ahead by `offset` from now on, or back if it is negative."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{offset.total_seconds():+.0f}\n")
        new.replace(self._file)  # atomic: a process reads the old or the new offset


def jumping_clock(folder: Path) -> JumpingClock:
    """Return a clock for one test; skip the test if the library can't be loaded."""
    clock = JumpingClock(folder / "clock")
    clock.jump(_HOUR)
    command = [sys.executable, "-c", "import time; print(time.time())"]
    environment = {**os.environ, **clock.environment}
    result = subprocess.run(command, check=True, env=environment, capture_output=True, text=True, timeout=60)
    if abs(float(result.stdout) - time.time() - _HOUR.total_seconds()) > _HOUR.total_seconds() / 2:
        pytest.skip(f"libfaketime can't be loaded here, so no clock jumped: {result.stderr.strip()}")
    clock.jump(timedelta(0))
    return clock


def _library() -> Path:
    # The package is not imported: only the library that it contains is needed.
    spec = importlib.util.find_spec("libfaketime")
    assert spec is not None, "libfaketime isn't installed; run `make venv`"
    assert spec.origin is not None
    return Path(spec.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
