"""The wall clock of single processes, which a test sets ahead or back while they run.

libfaketime answers whoever asks the C library for the time; it is preloaded into the processes that are given
this environment and into no other. The monotonic clock and timers stay the machine's own, as when an
administrator or a time service sets the clock.
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
    """Right until it is told to jump."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.environment = {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.jump(timedelta(0))

    def jump(self, off: timedelta) -> None:
        """Let the clock be ahead by so much from now on, or behind."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{off.total_seconds():+.0f}\n")
        new.replace(self._file)  # a clock that is read meanwhile sees the one or the other


def jumping_clock(folder: Path) -> JumpingClock:
    """A clock of its own for a test; skips the test where the library can't be loaded."""
    clock = JumpingClock(folder / "clock")
    clock.jump(_HOUR)
    ask = [sys.executable, "-c", "import time; print(time.time())"]
    environment = {**os.environ, **clock.environment}
    told = subprocess.run(ask, check=True, env=environment, capture_output=True, text=True, timeout=60)
    if abs(float(told.stdout) - time.time() - _HOUR.total_seconds()) > _HOUR.total_seconds() / 2:
        pytest.skip(f"libfaketime can't be loaded here, so no clock was made to jump: {told.stderr.strip()}")
    clock.jump(timedelta(0))
    return clock


def _library() -> Path:
    # The package itself is never imported: all that is wanted of it is the library it brings along.
    spec = importlib.util.find_spec("libfaketime")
    assert spec is not None, "libfaketime isn't installed; run `make venv`"
    assert spec.origin is not None
    return Path(spec.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
