"""Follows one Order's status as `kubectl get --watch` tells it.

`kubectl` opens it, `play` waits by it. A watch may end at any time, and a client then begins anew ("Efficient
detection of changes", API concepts in the Kubernetes documentation); kubectl leaves that to whoever runs it.
"""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any, Final

Status = Mapping[str, Any]

_LIFETIME: Final = 10
"""Seconds after which a watch is begun anew in any case, so that one that hangs is one that ended."""
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
        command: a `kubectl get --watch -o json` of one object; each run tells its present state first.
    """
    watch, follower = Watch(), _Follower([*command, f"--request-timeout={_LIFETIME}s"])
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
            heard = read(process.stdout, watch.told)
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


def read(stream: IO[str], told: queue.Queue[Status]) -> int:
    """Split the stream of indented JSON documents that kubectl prints one after the other; how many it told."""
    lines: list[str] = []
    heard = 0
    for line in stream:
        lines.append(line)
        if line.rstrip() == "}":
            told.put(status_of(json.loads("".join(lines))))
            lines.clear()
            heard += 1
    return heard


def status_of(document: Mapping[str, Any]) -> Status:
    """The status of an Order's document; empty before its first."""
    found: Status = document.get("status") or {}
    return found
