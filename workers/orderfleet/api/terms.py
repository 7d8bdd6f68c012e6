"""The terms of an order in a request: review, delivery and payment. Omitted fields come from the settings."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field, StrictBool, WithJsonSchema

from orderfleet.domain.durations import Duration, parse_duration
from orderfleet.domain.order import CaptureMode, PaymentMethod, ReviewMode, ReviewTimeoutAction
from orderfleet.domain.strict_models import StrictModel

Timeout = Annotated[
    Duration, Field(gt=parse_duration("0s")), WithJsonSchema({"type": "string", "examples": ["24h", "1h30m", "3s"]})
]
"""A duration above zero, in the format of Kubernetes."""


class ReviewTerms(StrictModel):
    """Terms of the review; omitted fields come from the settings."""

    mode: ReviewMode | None = Field(default=None, description="`manual` waits for an approval.")
    timeout: Timeout | None = Field(default=None, description="Timeout of the review.")
    on_timeout: ReviewTimeoutAction | None = Field(
        default=None,
        validation_alias=AliasChoices("on_timeout", "onTimeout"),
        description="Result of a review that times out.",
    )


class DeliveryTerms(StrictModel):
    """Terms of the delivery; omitted fields come from the settings."""

    confirm: StrictBool | None = Field(
        default=None, description="Complete the order only when the carrier confirms delivery."
    )
    timeout: Timeout | None = Field(default=None, description="Timeout of the confirmation.")


class PaymentTerms(StrictModel):
    """How the order is paid; omitted fields come from the settings."""

    method: PaymentMethod | None = Field(
        default=None,
        description="The payment provider's token of the customer's means of payment, never card data.",
        examples=["pm_card_visa"],
    )
    capture: CaptureMode | None = Field(
        default=None,
        description="`immediate` charges the order before it ships; `onShipment` authorizes it then, and captures it"
        " before the package is handed to the carrier.",
    )
