"""Watches one Order's status with `kubectl get --watch`, and shows it on the terminal.

A watch may end at any time, and its client then starts another ("Efficient detection of changes", API concepts in
the Kubernetes documentation). kubectl doesn't do that, so this module does.
"""

from __future__ import annotations

import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from orderfleet.cli.plugin import watch_events
from orderfleet.domain.status import Step

Status = Mapping[str, Any]


_RESTART_SECONDS: Final = 0.2
_TICK_SECONDS: Final = 0.1


@dataclass
class Watch:
    """The statuses of one Order, in the order in which kubectl printed them."""

    statuses: queue.Queue[Status] = field(default_factory=queue.Queue)
    last: Status = field(default_factory=dict)
    error: str = ""
    """The last line of error output if the last run of kubectl printed no event; else empty."""

    def drain(self, on_status: Callable[[Status], None]) -> None:
        """Call `on_status` with each status that has arrived; don't wait for more."""
        while not self.statuses.empty():
            self.last = self.statuses.get_nowait()
            on_status(self.last)

    def wait_for(
        self, condition: Callable[[Status], bool], timeout: float, on_status: Callable[[Status], None]
    ) -> Status | None:
        """Return the first status that meets a condition; None after the timeout.

        Args:
            condition: whether a status is the wanted one.
            timeout: in seconds.
            on_status: called with each new status.
        """
        end = time.monotonic() + timeout
        while not condition(self.last):
            try:
                self.last = self.statuses.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                if time.monotonic() > end:
                    return None
            else:
                on_status(self.last)
        return self.last


@contextmanager
def watching(command: Sequence[str]) -> Iterator[Watch]:
    """Run kubectl until the context exits; start it again each time it ends.

    Args:
        command: kubectl with `watch_arguments`; each run prints the Order's current state first.
    """
    watch, loop = Watch(), _KubectlLoop(command)
    thread = threading.Thread(target=loop.run, args=(watch,), daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        loop.end()
        thread.join()


class _KubectlLoop:
    """Runs the command in turn until `end` is called."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def run(self, watch: Watch) -> None:
        while (process := self._spawn()) is not None:
            assert process.stdout is not None
            has_event = False
            for event in watch_events(process.stdout):
                watch.statuses.put(status_of(event.order))
                has_event = True
            errors = process.communicate()[1].strip().splitlines()
            watch.error = "" if has_event else (errors or ["it ended without output"])[-1]
            self._ended.wait(_RESTART_SECONDS)

    def end(self) -> None:
        with self._lock:
            self._ended.set()
            if self._process is not None:
                self._process.kill()

    def _spawn(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._ended.is_set():
                return None
            self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            return self._process


def status_of(document: Mapping[str, Any]) -> Status:
    """Return the status of an Order; empty if it has none yet."""
    return dict(document.get("status") or {})


PATH: Final = (Step.RECEIVE, Step.VALIDATE, Step.MANUAL_REVIEW, Step.CHARGE, Step.SHIPPING, Step.SHIPPED)
"""The steps of an order that ships."""

_FAILED_STEPS: Final = {Step.CANCELED: "yellow", Step.FAILED: "red"}


@dataclass
class View:
    """Shows an order's steps: a live table on a terminal, else a line for each step."""

    console: Console
    name: str
    _start: float = field(default_factory=time.monotonic)
    _reached_at: dict[str, float] = field(default_factory=dict)
    _messages: list[Text] = field(default_factory=list)
    _status: Status = field(default_factory=dict)
    _live: Live | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live = Live(console=self.console, get_renderable=self._table, refresh_per_second=10)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def command(self, text: str) -> None:
        """Show a command that was run."""
        self._message(Text.assemble(("$", "dim"), " ", text))

    def note(self, text: str) -> None:
        """Show a change of the stack."""
        self._message(Text.assemble(("-", "dim"), " ", text))

    def status(self, status: Status) -> None:
        """Show a new status of the Order."""
        step, before = str(status.get("step", "")), self._status
        self._status = status
        if step and step not in self._reached_at:
            self._reached_at[step] = self._now()
            self._line(step, _detail(step, status))
        if status.get("retries") and _failed_attempts(status) != _failed_attempts(before):
            self._line(step, _failed_attempts(status))

    def _message(self, text: Text) -> None:
        self._messages.append(text)
        if not self._live:
            self.console.print(text)

    def _line(self, step: str, text: str) -> None:
        if not self._live:
            self.console.print(f"{self._now():6.1f} s  {step:<14} {text}".rstrip(), markup=False)

    def _now(self) -> float:
        return time.monotonic() - self._start

    def _table(self) -> RenderableType:
        now = str(self._status.get("step", ""))
        table = Table(box=None, show_header=False, pad_edge=False)
        for _ in range(4):
            table.add_column()
        failed = now in _FAILED_STEPS
        reached = PATH.index(Step(now)) if now in PATH else len(PATH) if failed else -1
        for index, step in enumerate(PATH):
            ended = reached == index and step is PATH[-1]
            done = index < reached and (not failed or step in self._reached_at)
            mark: RenderableType = Text("\N{CHECK MARK}", "green") if done or ended else Text(" ")
            if reached == index and not ended:
                mark = Spinner("dots", style="cyan")
            at = f"{self._reached_at[step]:.1f} s" if step in self._reached_at else ""
            detail = _detail(step, self._status) if index <= reached else ""
            table.add_row(mark, Text(step, "" if index <= reached else "dim"), Text(at, "dim"), Text(detail))
        if failed:
            table.add_row(Text("x", _FAILED_STEPS[Step(now)]), now, "", _detail(now, self._status))
        attempts = [Text(_failed_attempts(self._status), "yellow")] if self._status.get("retries") else []
        return Group(*self._messages, Text(f"\nOrder {self.name}", "bold"), table, *attempts, Text(""))


def _failed_attempts(status: Status) -> str:
    """Return the number of failed attempts by step, and the last error."""
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
