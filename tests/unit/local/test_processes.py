"""Finding and ending the processes of a stack."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil

from orderfleet_local.stack import ports, processes
from orderfleet_local.stack.processes import Command


def test_process_with_a_reused_id_is_found(tmp_path):
    command = Command((sys.executable, "-c", "import time; time.sleep(600)"), tmp_path)
    started = processes.spawn(command, folder=tmp_path, part="sleeper", log=tmp_path / "sleeper.log")
    try:
        # The state of psutil after it has seen that a cached id belongs to another process.
        list(psutil.process_iter())
        psutil._pids_reused.add(started.pid)
        assert processes.find(tmp_path) == {"sleeper": [started]}
    finally:
        processes.end([started], by=signal.SIGKILL, timeout=5)
    assert processes.find(tmp_path) == {}


_LISTEN = """
import ctypes, os, socket, threading, time
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
# Ends the first thread only, as the kernel does for a short time with each process that it kills.
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)
"""


def test_process_whose_first_thread_has_ended_is_alive_until_its_port_is_free():
    with subprocess.Popen([sys.executable, "-c", _LISTEN], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        process = psutil.Process(child.pid)
        deadline = time.monotonic() + 30
        while process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
        assert processes.alive(process)
        assert not ports._free(port)
        processes.end([process], by=signal.SIGKILL, timeout=5)
        assert ports._free(port)
        assert not processes.alive(process)
