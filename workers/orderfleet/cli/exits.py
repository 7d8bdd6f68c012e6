"""Exit statuses, and the one place that turns an error into a line that says what to do next.

`main` calls it for whatever a command raises. What it doesn't know is a bug and keeps its traceback.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from enum import IntEnum
from typing import Final, NoReturn

from orderfleet.contracts.errors import OrderfleetError, PaymentTaken, StoreUnavailable, WrongSetting


class Exit(IntEnum):
    """What scripts can go by."""

    DONE = 0
    FAILED = 1
    WRONG = 2
    """Arguments, settings or a manifest."""
    NOT_FOUND = 3
    """No such order, or no such part of the stack."""
    REFUSED = 4
    """By the order's workflow, or because the order id or the payment id is taken."""
    AWAY = 5
    """Temporal, Postgres, or the stack or a part of it; try again."""
    RUNS_ALREADY = 6
    """The stack; nothing was done."""
    BUSY = 7
    """Another command is at work on the stack."""
    PENDING = 8
    """Migrations that `--check` found."""
    INTERRUPTED = 130


EXITS: Final = (
    "Exit status: 0 done, 1 failed, 2 wrong arguments, settings or manifest, 3 no such order,"
    " 4 refused or id taken, 5 Temporal, Postgres or the stack is away, 130 interrupted."
)


class Wrong(OrderfleetError):
    """Something the user gave is wrong; one line a problem."""


class Failed(OrderfleetError):
    """The command did not reach what it was asked for; the message says what to do."""


def explain(error: OrderfleetError) -> tuple[Exit, str]:
    """The exit status for an error and what to tell the user."""
    # Whoever raised one of these has loaded them; `--help` has not.
    from orderfleet.api.intake import Unprocessable  # noqa: PLC0415
    from orderfleet.client.errors import (  # noqa: PLC0415
        OrderConflict,
        OrderEnded,
        OrderNotFound,
        OrderRefused,
        TemporalUnavailable,
    )
    from orderfleet.stack.errors import Busy, NoSuchPart, NotUp  # noqa: PLC0415

    hints: dict[type[OrderfleetError], tuple[Exit, str]] = {
        OrderNotFound: (Exit.NOT_FOUND, "`orderfleet order list` shows those there are"),
        OrderConflict: (Exit.REFUSED, ""),
        OrderRefused: (Exit.REFUSED, ""),
        OrderEnded: (Exit.REFUSED, ""),
        PaymentTaken: (Exit.REFUSED, ""),
        TemporalUnavailable: (
            Exit.AWAY,
            "is the stack up (`orderfleet stack status`), or ORDERFLEET_TEMPORAL_ADDRESS right?",
        ),
        NotUp: (Exit.AWAY, ""),
        NoSuchPart: (Exit.NOT_FOUND, ""),
        Busy: (Exit.BUSY, ""),
        StoreUnavailable: (Exit.AWAY, "is the stack up (`orderfleet stack status`), or ORDERFLEET_DATABASE_URL right?"),
    }
    if isinstance(error, Unprocessable):
        return Exit.WRONG, "\n".join(error.problems)
    if isinstance(error, Wrong | WrongSetting):
        return Exit.WRONG, str(error)
    for kind, (code, hint) in hints.items():
        if isinstance(error, kind):
            # What Temporal and Postgres say of themselves may have several lines.
            text = " ".join(str(error).split())
            return code, f"{text}; {hint}" if hint else text
    return Exit.FAILED, str(error)


def complain(text: str, *, each: bool = False) -> None:
    """Write to standard error, marked as ours: the first line, or each where they are a list of problems."""
    first, *rest = text.splitlines() or [""]
    for line in [f"orderfleet: {first}", *(f"orderfleet: {line}" if each else line for line in rest)]:
        sys.stderr.write(f"{line}\n")


def leave(code: int) -> NoReturn:
    """End the process with `code`.

    Once Temporal's client was used the interpreter is not torn down: a thread of it that is about to
    let go of a finished call aborts the process then, which made a done command exit with 134
    (temporalio/sdk-python#300; seen in 5 of 40 approvals on a busy machine).
    """
    if "temporalio.bridge.temporal_sdk_bridge" not in sys.modules:
        sys.exit(code)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
