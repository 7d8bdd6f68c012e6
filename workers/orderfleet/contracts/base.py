"""The base of every model that crosses a boundary.

Frozen, because the same value is read by several parts; unknown fields are ignored, because an
older worker must be able to read what a newer one wrote.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from orderfleet.contracts.words import foreign_name


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

ForeignName = Annotated[str, BeforeValidator(foreign_name)]
"""An id or a name that the payment provider or the carrier gives, cut to what Postgres can keep."""

PaymentId = Annotated[str, StringConstraints(pattern=PAYMENT_ID)]
"""1 to 200 letters, digits, dots, underscores, colons or dashes."""
