"""Errors of the local stack; each message says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from orderfleet.cli.errors import Exit, Failed

_TAIL_LINES = 25


class StackError(Failed):
    """The local stack failed; the message says what to do."""


class PartFailed(StackError):
    """A part didn't become ready; the message has the end of its log."""

    def __init__(self, part: str, reason: str, log: Path) -> None:
        """Create the error.

        Args:
            part: its name.
            reason: why it failed.
            log: its log file.
        """
        self.part = part
        self.reason = reason
        self.log = log
        self.tail = log_tail(log)
        super().__init__(f"{part} failed: {reason}\n{self.tail}\nThe whole log: {log}")


class AlreadyRunning(StackError):
    """Every part of the stack runs already."""


class Busy(StackError):
    """Another command is starting or stopping the same stack."""

    exit_status: ClassVar[Exit] = Exit.BUSY


class NotUp(StackError):
    """The stack isn't running."""

    exit_status: ClassVar[Exit] = Exit.UNAVAILABLE

    def __init__(self) -> None:
        """Create the error."""
        super().__init__("the stack isn't up; `orderfleet stack up` starts it")


class NoSuchPart(StackError):
    """The stack has no such part, or no log of it; the message lists the parts."""

    exit_status: ClassVar[Exit] = Exit.NOT_FOUND


def log_tail(log: Path, lines: int = _TAIL_LINES) -> str:
    """Return the last `lines` lines of a log; empty when there is none."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
