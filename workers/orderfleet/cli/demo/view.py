"""What a demo shows while it runs: a live table on a terminal, a line a change elsewhere.

`play` tells it commands and statuses; it decides nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from orderfleet.cli.demo.watch import Status
from orderfleet.contracts.status import Step

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
