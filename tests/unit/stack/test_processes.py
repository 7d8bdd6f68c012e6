"""Processes of a stack, found again."""

from __future__ import annotations

import signal
import sys

import psutil

from orderfleet.stack import processes
from orderfleet.stack.processes import Command


def test_a_process_whose_id_was_used_before_is_found(tmp_path):
    command = Command((sys.executable, "-c", "import time; time.sleep(600)"), tmp_path)
    started = processes.spawn(command, folder=tmp_path, part="sleeper", log=tmp_path / "sleeper.log")
    try:
        # What psutil does once it sees that an id it has kept belongs to another process now.
        list(psutil.process_iter())
        psutil._pids_reused.add(started.pid)
        assert processes.find(tmp_path) == {"sleeper": [started]}
    finally:
        processes.end([started], by=signal.SIGKILL, bound=5)
    assert processes.find(tmp_path) == {}
