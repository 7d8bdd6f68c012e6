"""Exit statuses, and the one place that turns an error into a line that says what to do next.

`main` calls it for whatever a command raises. What it doesn't know is a bug and keeps its traceback.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

from orderfleet.domain.errors import OrderfleetError, PaymentConflict, StoreUnavailable, WrongSetting

if TYPE_CHECKING:
    from orderfleet.settings import Settings


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


class UsageError(OrderfleetError):
    """Something the user gave is wrong; one line a problem."""


class Failed(OrderfleetError):
    """The command did not succeed; the message says what to do. A subclass may have another exit status."""

    exit_status: ClassVar[Exit] = Exit.FAILED


def explain(error: OrderfleetError) -> tuple[Exit, str]:
    """The exit status for an error and what to tell the user."""
    # Whoever raised one of these has loaded them; `--help` has not.
    from orderfleet.api.order_input import Unprocessable  # noqa: PLC0415
    from orderfleet.services.errors import (  # noqa: PLC0415
        OrderChangeRejected,
        OrderEnded,
        OrderIdConflict,
        OrderNotFound,
        TemporalUnavailable,
    )

    hints: dict[type[OrderfleetError], tuple[Exit, str]] = {
        OrderNotFound: (Exit.NOT_FOUND, "`orderfleet order list` shows those there are"),
        OrderIdConflict: (Exit.REFUSED, ""),
        OrderChangeRejected: (Exit.REFUSED, ""),
        OrderEnded: (Exit.REFUSED, ""),
        PaymentConflict: (Exit.REFUSED, ""),
        TemporalUnavailable: (
            Exit.AWAY,
            "is the stack up (`orderfleet stack status`), or ORDERFLEET_TEMPORAL_ADDRESS right?",
        ),
        StoreUnavailable: (Exit.AWAY, "is the stack up (`orderfleet stack status`), or ORDERFLEET_DATABASE_URL right?"),
    }
    if isinstance(error, Unprocessable):
        return Exit.WRONG, "\n".join(error.problems)
    if isinstance(error, UsageError | WrongSetting):
        return Exit.WRONG, str(error)
    for kind, (code, hint) in hints.items():
        if isinstance(error, kind):
            # What Temporal and Postgres say of themselves may have several lines.
            text = " ".join(str(error).split())
            return code, f"{text}; {hint}" if hint else text
    return error.exit_status if isinstance(error, Failed) else Exit.FAILED, str(error)


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


def read_settings(**overrides: Any) -> Settings:
    """The settings of this process; `overrides` win over the environment.

    Raises:
        Wrong: one line a problem, each naming the variable.
    """
    from pydantic import ValidationError  # noqa: PLC0415 - `--help` needs neither
    from pydantic_settings import SettingsError  # noqa: PLC0415

    from orderfleet.settings import Settings  # noqa: PLC0415

    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise UsageError("\n".join(_line(problem) for problem in problems)) from None
    except SettingsError as error:
        raise UsageError(str(error)) from None


def variables(field: str) -> list[str]:
    """The environment variables that set a field, ours first."""
    from pydantic import AliasChoices  # noqa: PLC0415

    from orderfleet.settings import Settings  # noqa: PLC0415
    from orderfleet.settings.base import PREFIX  # noqa: PLC0415

    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return list(dict.fromkeys(str(choice) for choice in alias.choices))
    return [f"{PREFIX}{field.upper()}"]


def _line(problem: Any) -> str:
    from orderfleet.domain.validation_messages import validation_message  # noqa: PLC0415
    from orderfleet.settings import Settings  # noqa: PLC0415

    if not problem["loc"]:
        # Of several settings together: it names them and says what to do.
        return str(problem["msg"]).removeprefix("Value error, ")
    named = str(problem["loc"][0])
    names = next((names for field in Settings.model_fields if named in (field, *(names := variables(field)))), [named])
    return f"{' or '.join(names)}: {validation_message(problem)}; correct it or leave it unset"
