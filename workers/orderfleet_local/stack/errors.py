"""What the local stack raises, each with a message that a person can act on.

The command line prints these in one or a few lines. Nothing here does any work.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from orderfleet.cli.errors import Exit, Failed

_TAIL_LINES = 25


class StackError(Failed):
    """Something about the local stack went wrong; the message says what to do next."""


class PartFailed(StackError):
    """A part didn't start, or ended while it was starting; carries the end of its log."""

    def __init__(self, part: str, reason: str, log: Path) -> None:
        """Say that `part` failed for `reason`, with the end of `log`."""
        self.part = part
        self.reason = reason
        self.log = log
        self.tail = log_tail(log)
        super().__init__(f"{part} failed: {reason}\n{self.tail}\nThe whole log: {log}")


class AlreadyRunning(StackError):
    """The stack runs already, whole."""


class Busy(StackError):
    """Another command is starting or stopping the same stack."""

    exit_status: ClassVar[Exit] = Exit.BUSY


class NotUp(StackError):
    """The stack isn't up: `orderfleet stack up` starts it."""

    exit_status: ClassVar[Exit] = Exit.UNAVAILABLE

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("the stack isn't up; `orderfleet stack up` starts it")


class NoSuchPart(StackError):
    """The stack has no such part, or no log of it; the message lists what there is."""

    exit_status: ClassVar[Exit] = Exit.NOT_FOUND


def log_tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """Return the last `lines` lines of a log; empty when there is none."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
