"""Errors of provisioning, and its progress output."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class StrategyFailed(Exception):
    """A source can't provide a tool; the message is the reason, in a few words."""


class ProvisionError(Exception):
    """Tools can't be provided; the message has each tool, the reasons and what to do."""


_CLEAR = "\r\x1b[K"


class Progress:
    """Thread-safe progress output to `stream` (standard error by default)."""

    def __init__(self, stream: TextIO | None = None, every: float | None = None) -> None:
        """Create the output.

        Args:
            stream: to write to; None: standard error.
            every: seconds between two lines of the heartbeat; None: 1 on a terminal, else 20.
        """
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._every = every if every is not None else (1.0 if self._live else 20.0)
        self._lock = threading.Lock()
        self._busy: dict[str, float] = {}
        self._stop = threading.Event()

    def say(self, text: str) -> None:
        """Write one line."""
        with self._lock:
            print(f"{_CLEAR if self._live else ''}tools: {text}", file=self._stream, flush=True)

    @contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """Let the heartbeat show `what`, such as `building etcd`, while the block runs."""
        with self._lock:
            self._busy[what] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._busy.pop(what, None)

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Write every few seconds what still runs, until the block ends."""
        self._stop.clear()
        thread = threading.Thread(target=self._beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(self._every):
            with self._lock:
                if not self._busy:
                    continue
                now = time.monotonic()
                doing = ", ".join(f"{w} … {now - s:.0f} s" for w, s in self._busy.items())
                start, end = (_CLEAR, "") if self._live else ("", "\n")
                print(f"{start}tools: still {doing}", end=end, file=self._stream, flush=True)
        if self._live:
            print(_CLEAR, end="", file=self._stream, flush=True)
