"""The table that the cluster test prints: its steps and their duration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Timetable:
    """Steps with their seconds and a note."""

    rows: list[tuple[str, float, str]] = field(default_factory=list)
    going: bool = True
    _note: str = ""

    def note(self, text: str) -> None:
        """Set the note of the current step."""
        self._note = text

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began, self._note = time.monotonic(), ""
        try:
            yield
        finally:
            self.rows.append((name, time.monotonic() - began, self._note if self.going else "FAILED"))

    def text(self) -> str:
        width = max((len(name) for name, _, _ in self.rows), default=0)
        lines = [f"{name:<{width}}  {seconds:6.1f} s  {note}" for name, seconds, note in self.rows]
        total = sum(seconds for _, seconds, _ in self.rows)
        return "\n".join(["", *lines, f"{'total':<{width}}  {total:6.1f} s"])
