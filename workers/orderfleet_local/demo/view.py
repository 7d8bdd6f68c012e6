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
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from orderfleet.cli.plugin import watch_events
from orderfleet.domain.status import Step

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
            for told in watch_events(process.stdout):
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
            self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            return self._process


def status_of(document: Mapping[str, Any]) -> Status:
    """The status of an Order's document; empty before its first."""
    found: Status = document.get("status") or {}
    return found


PATH: Final = (Step.RECEIVE, Step.VALIDATE, Step.MANUAL_REVIEW, Step.CHARGE, Step.SHIPPING, Step.SHIPPED)

"""The steps of an order that goes well."""


_OFF: Final = {Step.CANCELED: "yellow", Step.FAILED: "red"}


@dataclass
class View:
    """The order's way as its status tells it."""

    console: Console
    name: str
    _began: float = field(default_factory=time.monotonic)
    _seen: dict[str, float] = field(default_factory=dict)
    _did: list[Text] = field(default_factory=list)
    _status: Status = field(default_factory=dict)
    _live: Live | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(console=self.console, get_renderable=self._table, refresh_per_second=10)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def command(self, text: str) -> None:
        """A command that was run for the user."""
        self._tell(Text.assemble(("$", "dim"), " ", text))

    def note(self, text: str) -> None:
        """Something was done to the stack."""
        self._tell(Text.assemble(("-", "dim"), " ", text))

    def status(self, status: Status) -> None:
        """The Order's status changed."""
        step, before = str(status.get("step", "")), self._status
        self._status = status
        if step and step not in self._seen:
            self._seen[step] = self._now()
            self._line(step, _detail(step, status))
        if status.get("retries") and _trouble(status) != _trouble(before):
            self._line(step, _trouble(status))

    def _tell(self, text: Text) -> None:
        self._did.append(text)
        if not self._live:
            self.console.print(text)

    def _line(self, step: str, text: str) -> None:
        if not self._live:
            self.console.print(f"{self._now():6.1f} s  {step:<14} {text}".rstrip(), markup=False)

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _table(self) -> RenderableType:
        now = str(self._status.get("step", ""))
        table = Table(box=None, show_header=False, pad_edge=False)
        for _ in range(4):
            table.add_column()
        off = now in _OFF
        reached = PATH.index(Step(now)) if now in PATH else len(PATH) if off else -1
        for index, step in enumerate(PATH):
            ended = reached == index and step is PATH[-1]
            done = index < reached and (not off or step in self._seen)
            mark: RenderableType = Text("\N{CHECK MARK}", "green") if done or ended else Text(" ")
            if reached == index and not ended:
                mark = Spinner("dots", style="cyan")
            at = f"{self._seen[step]:.1f} s" if step in self._seen else ""
            told = _detail(step, self._status) if index <= reached else ""
            table.add_row(mark, Text(step, "" if index <= reached else "dim"), Text(at, "dim"), Text(told))
        if off:
            table.add_row(Text("x", _OFF[Step(now)]), now, "", _detail(now, self._status))
        trouble = [Text(_trouble(self._status), "yellow")] if self._status.get("retries") else []
        return Group(*self._did, Text(f"\nOrder {self.name}", "bold"), table, *trouble, Text(""))


def _trouble(status: Status) -> str:
    """The attempts that failed so far, and the last error."""
    retries = ", ".join(f"{step} {count}" for step, count in (status.get("retries") or {}).items())
    return f"failed attempts: {retries}; last error: {status.get('lastError') or 'none'}"


def _detail(step: str, status: Status) -> str:
    payment: dict[str, Any] = status.get("payment") or {}
    match step:
        case Step.MANUAL_REVIEW:
            return "approved" if status.get("approved") else "waits for approval"
        case Step.CHARGE:
            return f"{payment.get('amount', '')} {payment.get('currency', '')} {payment.get('status', '')}".strip()
        case Step.SHIPPED:
            return f"tracking number {status['trackingNumber']}" if status.get("trackingNumber") else ""
        case Step.CANCELED | Step.FAILED:
            return str(
                status.get("cancelReason") or status.get("dispatchFailedReason") or status.get("lastError") or ""
            )
        case _:
            return ""
