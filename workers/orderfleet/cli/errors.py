"""Exit statuses, and the text that the command line prints for an error.

An error that isn't an `OrderfleetError` is a bug and keeps its traceback.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

from orderfleet.cli.local_stack import is_installed
from orderfleet.domain.errors import OrderfleetError, PaymentConflict, ReferenceConflict, StoreUnavailable, WrongSetting

if TYPE_CHECKING:
    from orderfleet.settings import Settings


class Exit(IntEnum):
    """Exit statuses of the command line."""

    DONE = 0
    FAILED = 1
    INVALID = 2
    """Arguments, settings or a manifest are invalid."""
    NOT_FOUND = 3
    """No such order, or no such part of the stack."""
    REJECTED = 4
    """The order's workflow rejected the change, or the order id or payment id is used already."""
    UNAVAILABLE = 5
    """Temporal, Postgres, the stack or a part of it is unavailable; try again."""
    ALREADY_RUNNING = 6
    """The stack runs already; nothing was done."""
    BUSY = 7
    """Another command is starting or stopping the stack."""
    PENDING = 8
    """`--check` found migrations to apply."""
    INTERRUPTED = 130


EXITS: Final = (
    "Exit status: 0 done, 1 failed, 2 wrong arguments, settings or manifest, 3 no such order,"
    " 4 change rejected or id in use, 5 Temporal or Postgres unavailable, 130 interrupted."
)


class UsageError(OrderfleetError):
    """An argument, setting or manifest is invalid; the message has a line for each problem."""


class Failed(OrderfleetError):
    """The command failed; the message says what to do."""

    exit_status: ClassVar[Exit] = Exit.FAILED


def explain(error: OrderfleetError) -> tuple[Exit, str]:
    """Return the exit status for an error and the text to print."""
    # The imports are here, so that `--help` doesn't load the modules.
    from orderfleet.api.order_input import Unprocessable  # noqa: PLC0415
    from orderfleet.services import errors  # noqa: PLC0415

    hints: dict[type[OrderfleetError], tuple[Exit, str]] = {
        errors.OrderNotFound: (Exit.NOT_FOUND, "`orderfleet order list` lists the orders"),
        errors.OrderIdConflict: (Exit.REJECTED, ""),
        errors.OrderChangeRejected: (Exit.REJECTED, ""),
        errors.OrderEnded: (Exit.REJECTED, ""),
        errors.RefundRejected: (Exit.REJECTED, ""),
        errors.RefundIdConflict: (Exit.REJECTED, ""),
        errors.StockRejected: (Exit.REJECTED, ""),
        errors.StockKeyConflict: (Exit.REJECTED, ""),
        PaymentConflict: (Exit.REJECTED, ""),
        ReferenceConflict: (Exit.REJECTED, ""),
        errors.TemporalUnavailable: (Exit.UNAVAILABLE, _address_hint("ORDERFLEET_TEMPORAL_ADDRESS")),
        StoreUnavailable: (Exit.UNAVAILABLE, _address_hint("ORDERFLEET_DATABASE_URL")),
    }
    if isinstance(error, Unprocessable | errors.InvalidRefund):
        return Exit.INVALID, "\n".join(error.problems)
    if isinstance(error, UsageError | WrongSetting | errors.UnknownLocation):
        return Exit.INVALID, str(error)
    for kind, (code, hint) in hints.items():
        if isinstance(error, kind):
            # Messages of Temporal and Postgres may have several lines.
            text = " ".join(str(error).split())
            return code, f"{text}; {hint}" if hint else text
    return error.exit_status if isinstance(error, Failed) else Exit.FAILED, str(error)


def _address_hint(variable: str) -> str:
    if is_installed():
        return f"check that the stack is up (`orderfleet stack status`), or that {variable} is right"
    return f"check that {variable} is right"


def print_error(text: str, *, each_line: bool = False) -> None:
    """Write `text` to standard error after `orderfleet: `.

    Args:
        text: one or more lines.
        each_line: put the prefix before each line, as for a list of problems; else before the first only.
    """
    first, *rest = text.splitlines() or [""]
    for line in [f"orderfleet: {first}", *(f"orderfleet: {line}" if each_line else line for line in rest)]:
        sys.stderr.write(f"{line}\n")


def exit_process(code: int) -> NoReturn:
    """End the process with `code`.

    Once Temporal's client was used, the interpreter is not finalized: during finalization a thread of the client
    that releases a finished call can abort the process, which then exits with 134
    (temporalio/sdk-python#300; seen in 5 of 40 approvals on a loaded machine).
    """
    if "temporalio.bridge.temporal_sdk_bridge" not in sys.modules:
        sys.exit(code)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def read_settings(**overrides: Any) -> Settings:
    """Return the settings of this process; `overrides` take precedence over the environment.

    Raises:
        UsageError: a setting is invalid; one line for each problem, with the variable.
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
    """Return the environment variables that set a field, the `ORDERFLEET_` one first."""
    from pydantic import AliasChoices  # noqa: PLC0415

    from orderfleet.settings import Settings  # noqa: PLC0415
    from orderfleet.settings.base import PREFIX  # noqa: PLC0415

    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return list(dict.fromkeys(str(choice) for choice in alias.choices))
    return [f"{PREFIX}{field.upper()}"]


def _line(problem: Any) -> str:
    from orderfleet.domain.inputs import validation_message  # noqa: PLC0415
    from orderfleet.settings import Settings  # noqa: PLC0415

    if not problem["loc"]:
        # A check of several settings: its message names them and says what to do.
        return str(problem["msg"]).removeprefix("Value error, ")
    given = str(problem["loc"][0])
    names = next((names for field in Settings.model_fields if given in (field, *(names := variables(field)))), [given])
    return f"{' or '.join(names)}: {validation_message(problem)}; correct it or leave it unset"
