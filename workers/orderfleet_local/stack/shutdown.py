"""Ends a stack: every process it started, in the right order, and no other.

`lifecycle` calls it. What runs is asked of the processes, not of the state file. The product's
processes end first, while everything they need to drain is still there.
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

# What isn't named here is a process of the product, or a job of the start.
_BACKING = ((APISERVER, TEMPORAL, PROMETHEUS, COLLECTOR), (ETCD,), (POSTGRES,))
_FAST_SHUTDOWN = {POSTGRES: signal.SIGINT}
_BACKING_SECONDS = 10.0
_SWEEPS = 20
# A worker drains for 20 s at most by default.
DRAIN_SECONDS = 25.0

_DATA = ("postgres", "temporal", "etcd", "kubernetes", "prometheus", "otelcol", "logs")
_DATA_FILES = ("state.json", "ports.json", "ledger.db*")


def stop(
    folder: Path, say: Callable[[str], None], *, parts: Container[str] | None = None, drain: float = DRAIN_SECONDS
) -> list[str]:
    """End all processes of the stack in `folder`, or those of some `parts`; return the names of the parts that ran.

    Raises:
        StackError: a process can't be ended.
    """
    running = {name: found for name, found in processes.find(folder).items() if parts is None or name in parts}
    backing = {name for names in _BACKING for name in names}
    roles = tuple(name for name in running if name not in backing)
    for names, bound in ((roles, drain), *((names, _BACKING_SECONDS) for names in _BACKING)):
        _end(names, running, bound, say)
    if parts is None:
        _sweep(folder)
    return list(running)


def wipe(folder: Path) -> None:
    """Remove the data, logs and state of a stack that is down."""
    for name in _DATA:
        shutil.rmtree(folder / name, ignore_errors=True)
    for pattern in _DATA_FILES:
        for path in folder.glob(pattern):
            path.unlink()


def _end(
    names: tuple[str, ...], running: dict[str, list[psutil.Process]], bound: float, say: Callable[[str], None]
) -> None:
    group = [process for name in names for process in running.get(name, [])]
    if not group:
        return
    by = next((_FAST_SHUTDOWN[name] for name in names if name in _FAST_SHUTDOWN), signal.SIGTERM)
    if not processes.end(group, by=by, bound=bound):
        say(f"{', '.join(names)}: not all ended within {bound:.0f} s; killed")


def _sweep(folder: Path) -> None:
    """Kill what started while the others ended, until two looks in a row find nothing."""
    clean = 0
    for _ in range(_SWEEPS):
        left = [process for found in processes.find(folder).values() for process in found]
        if left:
            processes.end(left, by=signal.SIGKILL, bound=1)
        clean = 0 if left else clean + 1
        if clean == 2:  # noqa: PLR2004 - as the docstring says
            return
    raise StackError(f"processes of {folder} can't be ended; see `ps`")
