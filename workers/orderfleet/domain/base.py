"""How much is kept of what somebody else wrote: a caller's reason, an adapter's error.

Whoever takes such words in cuts them, before they travel with the order or stand in its record.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from orderfleet.domain.errors import OrderfleetError

MAX_TEXT_LENGTH: Final = 1000

"""Characters that are kept; a signal or an error may have megabytes, and Temporal takes 2 MiB in one piece."""


MAX_NAME_LENGTH: Final = 200

"""Characters of an id or a name that the payment provider or the carrier gives."""


def external_name(text: object) -> object:
    """An id or a name of the payment provider or the carrier as Postgres can keep it: bounded and printable.

    An adapter in a package of the user's may return anything, and what it returns is already charged or booked.
    """
    if not isinstance(text, str):
        return text
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[:MAX_NAME_LENGTH])


def truncate(text: str) -> str:
    """The beginning of what somebody wrote."""
    return text if len(text) <= MAX_TEXT_LENGTH else f"{text[: MAX_TEXT_LENGTH - 1]}…"


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


class Contract(BaseModel):
    """A frozen model whose unknown fields are ignored on the way in."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


ORDER_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"

PAYMENT_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,199}$"

WORKFLOW_ID: Final = f"^order-{ORDER_ID.removeprefix('^')}"


ORDER_NAME: Final = f"^(order-)?{ORDER_ID.removeprefix('^')}"

"""An order id, or an order workflow's id."""

Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]

"""What Kubernetes, protobuf and a `bigint` hold."""


OrderId = Annotated[str, StringConstraints(pattern=ORDER_ID)]

"""1 to 128 letters, digits, dots, underscores or dashes; the first is a letter or a digit."""


ExternalName = Annotated[str, BeforeValidator(external_name)]

"""An id or a name that the payment provider or the carrier gives, cut to what Postgres can keep."""


PaymentId = Annotated[str, StringConstraints(pattern=PAYMENT_ID)]

"""1 to 200 letters, digits, dots, underscores, colons or dashes."""
