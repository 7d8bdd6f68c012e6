"""Follows one Order's status as `kubectl get --watch` tells it.

`kubectl` opens it, `play` waits by it. A watch may end at any time, and a client then begins anew ("Efficient
detection of changes", API concepts in the Kubernetes documentation); kubectl leaves that to whoever runs it.
"""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from orderfleet.cli.watched import told_by

Status = Mapping[str, Any]

_GAP: Final = 0.2
_TICK: Final = 0.1


@dataclass
class Watch:
    """The states of one Order, as they are told."""

    told: queue.Queue[Status] = field(default_factory=queue.Queue)
    last: Status = field(default_factory=dict)
    trouble: str = ""
    """The last words of a kubectl that told nothing at all; empty when the last one told something."""

    def pass_on(self, seen: Callable[[Status], None]) -> None:
        """Hand what was told meanwhile to `seen`, without waiting."""
        while not self.told.empty():
            self.last = self.told.get_nowait()
            seen(self.last)

    def until(self, done: Callable[[Status], bool], seconds: float, seen: Callable[[Status], None]) -> Status | None:
        """Return the first status that is `done`, or None when there was none for `seconds`.

        Each new status is handed to `seen`.
        """
        end = time.monotonic() + seconds
        while not done(self.last):
            try:
                self.last = self.told.get(timeout=_TICK)
            except queue.Empty:
                if time.monotonic() > end:
                    return None
            else:
                seen(self.last)
        return self.last


@contextmanager
def watching(command: Sequence[str]) -> Iterator[Watch]:
    """Run kubectl again and again until the context is left.

    Args:
        command: kubectl with `watch_of` an Order; each run tells its present state first.
    """
    watch, follower = Watch(), _Follower(command)
    thread = threading.Thread(target=follower.run, args=(watch,), daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        follower.end()
        thread.join()


class _Follower:
    """Runs the command until it is ended."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def run(self, watch: Watch) -> None:
        while (process := self._start()) is not None:
            assert process.stdout is not None
            heard = False
            for told in told_by(process.stdout):
                watch.told.put(status_of(told.order))
                heard = True
            words = process.communicate()[1].strip()
            watch.trouble = "" if heard else (words.splitlines() or ["it ended without a word"])[-1]
            self._ended.wait(_GAP)

    def end(self) -> None:
        with self._lock:
            self._ended.set()
            if self._process is not None:
                self._process.kill()

    def _start(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._ended.is_set():
                return None
            self._process = subprocess.Popen(  # noqa: S603 - kubectl is what a demo drives
                self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            return self._process


def status_of(document: Mapping[str, Any]) -> Status:
    """The status of an Order's document; empty before its first."""
    found: Status = document.get("status") or {}
    return found
