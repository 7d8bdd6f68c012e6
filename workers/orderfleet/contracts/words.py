"""How much is kept of what somebody else wrote: a caller's reason, an adapter's error.

Whoever takes such words in cuts them, before they travel with the order or stand in its record.
"""

from __future__ import annotations

from typing import Final

from orderfleet.contracts.errors import OrderfleetError

LONGEST: Final = 1000
"""Characters that are kept; a signal or an error may have megabytes, and Temporal takes 2 MiB in one piece."""


LONGEST_NAME: Final = 200
"""Characters of an id or a name that the payment provider or the carrier gives."""


def foreign_name(text: object) -> object:
    """An id or a name of the payment provider or the carrier as Postgres can keep it: bounded and printable.

    An adapter in a package of the user's may return anything, and what it returns is already charged or booked.
    """
    if not isinstance(text, str):
        return text
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[:LONGEST_NAME])


def cut(text: str) -> str:
    """The beginning of what somebody wrote."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def error_message(error: BaseException) -> str:
    """An error as people read it: its message; the class name only where the message alone says too little.

    `ApplicationError` of Temporal's SDK puts its type, which is a class name of ours, before the message in `str()`.
    An error that is neither ours nor Temporal's is unexpected, so its class follows in brackets.
    """
    kind, message = type(error).__name__, getattr(error, "message", None)
    if isinstance(message, str):
        return message or kind
    text = str(error).strip()
    if not text:
        return kind
    return text if isinstance(error, OrderfleetError) else f"{text} ({kind})"
