"""Base model, id patterns, and the limits of texts that clients and providers send.

A text from outside must be truncated before it is stored in a workflow or in the database.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from orderfleet.domain.errors import OrderfleetError

MAX_TEXT_LENGTH: Final = 1000
"""Stored characters of a text; a signal or an error can have megabytes, and Temporal accepts 2 MiB per payload."""

MAX_NAME_LENGTH: Final = 200
"""Stored characters of an id or a name from the payment provider or the carrier."""


def external_name(text: object) -> object:
    """An id or a name from the payment provider or the carrier, truncated and printable.

    The charge or the booking is already made, so a text that Postgres can't store is changed instead of rejected.
    """
    if not isinstance(text, str):
        return text
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[:MAX_NAME_LENGTH])


def truncate(text: str) -> str:
    """A text cut to `MAX_TEXT_LENGTH` characters."""
    return text if len(text) <= MAX_TEXT_LENGTH else f"{text[: MAX_TEXT_LENGTH - 1]}…"


def error_message(error: BaseException) -> str:
    """The message of an error, for users.

    `str()` of Temporal's `ApplicationError` begins with a class name, which is left out. An error of another library is
    unexpected, so its class name follows in parentheses.
    """
    kind, message = type(error).__name__, getattr(error, "message", None)
    if isinstance(message, str):
        return message or kind
    text = str(error).strip()
    if not text:
        return kind
    return text if isinstance(error, OrderfleetError) else f"{text} ({kind})"


class Contract(BaseModel):
    """A frozen model that processes exchange; unknown fields are ignored, so that versions can differ."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


ORDER_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"

PAYMENT_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}$"

LOCATION_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"

WORKFLOW_ID: Final = f"^order-{ORDER_ID.removeprefix('^')}"

ORDER_NAME: Final = f"^(order-)?{ORDER_ID.removeprefix('^')}"
"""An order id, or an order workflow's id."""

Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
"""An integer of 64 bits, as in Kubernetes, protobuf and `bigint`."""

OrderId = Annotated[str, StringConstraints(pattern=ORDER_ID)]
"""1 to 128 letters, digits, dots, underscores or dashes; the first is a letter or a digit."""

ExternalName = Annotated[str, BeforeValidator(external_name)]
"""An id or a name from the payment provider or the carrier; see `external_name`."""

PaymentId = Annotated[str, StringConstraints(pattern=PAYMENT_ID)]
"""1 to 200 letters, digits, dots, underscores, colons or dashes."""
