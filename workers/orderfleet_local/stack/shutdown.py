"""Ends the processes of a stack in order, and no other process.

The running processes are found by their mark, not in the state file. The product's processes end first, while the
parts that they need to drain still run.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Container
from pathlib import Path

import psutil

from orderfleet_local.stack import processes
from orderfleet_local.stack.apiserver import APISERVER
from orderfleet_local.stack.collector import COLLECTOR
from orderfleet_local.stack.errors import StackError
from orderfleet_local.stack.etcd import ETCD
from orderfleet_local.stack.processes import POSTGRES
from orderfleet_local.stack.prometheus import PROMETHEUS
from orderfleet_local.stack.temporal_server import TEMPORAL

# Every other process is one of the product, or a job.
_BACKING = ((APISERVER, TEMPORAL, PROMETHEUS, COLLECTOR), (ETCD,), (POSTGRES,))
_FAST_SHUTDOWN = {POSTGRES: signal.SIGINT}
_BACKING_TIMEOUT = 10.0
_SEARCHES = 20
# A worker drains for 20 s at most by default.
DRAIN_SECONDS = 25.0

_DATA = ("postgres", "temporal", "etcd", "kubernetes", "prometheus", "otelcol", "logs")
_DATA_FILES = ("state.json", "ports.json", "ledger.db*")


def stop(
    folder: Path, say: Callable[[str], None], *, parts: Container[str] | None = None, drain: float = DRAIN_SECONDS
) -> list[str]:
    """End all processes of a stack, or those of some parts; return the names of the parts that ran.

    Args:
        folder: of the stack.
        say: called with a line for each part that had to be killed.
        parts: their names; None: all.
        drain: seconds that the product's processes have to end.

    Raises:
        StackError: a process can't be ended.
    """
    running = {name: found for name, found in processes.find(folder).items() if parts is None or name in parts}
    backing = {name for names in _BACKING for name in names}
    roles = tuple(name for name in running if name not in backing)
    for names, timeout in ((roles, drain), *((names, _BACKING_TIMEOUT) for names in _BACKING)):
        _end(names, running, timeout, say)
    if parts is None:
        _kill_remaining(folder)
    return list(running)


def wipe(folder: Path) -> None:
    """Remove the data, logs and state of a stopped stack."""
    for name in _DATA:
        shutil.rmtree(folder / name, ignore_errors=True)
    for pattern in _DATA_FILES:
        for path in folder.glob(pattern):
            path.unlink()


def _end(
    names: tuple[str, ...], running: dict[str, list[psutil.Process]], timeout: float, say: Callable[[str], None]
) -> None:
    group = [process for name in names for process in running.get(name, [])]
    if not group:
        return
    by = next((_FAST_SHUTDOWN[name] for name in names if name in _FAST_SHUTDOWN), signal.SIGTERM)
    if not processes.end(group, by=by, timeout=timeout):
        say(f"{', '.join(names)}: not all ended within {timeout:.0f} s; killed")


def _kill_remaining(folder: Path) -> None:
    """Kill processes that started during the shutdown, until two searches in a row find none."""
    clean = 0
    for _ in range(_SEARCHES):
        left = [process for found in processes.find(folder).values() for process in found]
        if left:
            processes.end(left, by=signal.SIGKILL, timeout=1)
        clean = 0 if left else clean + 1
        if clean == 2:  # noqa: PLR2004 - as the docstring says
            return
    raise StackError(f"processes of {folder} can't be ended; find them with `ps`")
