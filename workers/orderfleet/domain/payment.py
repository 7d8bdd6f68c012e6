"""Requests to and results of the payment provider.

Amounts are integers in minor units of the currency.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo

from orderfleet.domain.base import Contract, ExternalName, Int64, OrderId, PaymentId
from orderfleet.domain.money import minor_units, to_decimal
from orderfleet.domain.order import PaymentMethod
from orderfleet.domain.status import PendingCustomer


def _in_minor_units(amount: Any, info: ValidationInfo) -> Any:
    if not isinstance(amount, str | Decimal):
        return amount
    try:
        return minor_units(Decimal(amount), info.data.get("currency", ""))
    except (ArithmeticError, ValueError):
        raise ValueError("is not an amount; write it in minor units of its currency, such as 1998") from None


MinorUnits = Annotated[Int64, Field(ge=0)]
"""An amount in minor units of its currency."""


class PaymentIntent(Contract):
    """A charge or an authorization to make. A payment has several only if an authorization is renewed."""

    payment_id: PaymentId
    order_id: OrderId
    currency: str
    amount: Annotated[Int64, BeforeValidator(_in_minor_units)]
    """In minor units of the currency. A text is read as a decimal, as histories of earlier builds have it."""
    method: str = ""
    """The provider's token of the customer's means of payment; empty leaves the choice to the provider."""
    number: int = Field(default=1, ge=1)
    """Number of the authorization in its payment."""
    reference: str | None = None
    """The provider's own id of this charge or authorization, once it is known."""

    @property
    def decimal_amount(self) -> Decimal:
        """The amount with exactly the decimals of its currency."""
        return to_decimal(self.amount, self.currency)

    @property
    def key(self) -> str:
        """The idempotency key of the charge or the authorization: the payment id, and the number above 1."""
        return self.payment_id if self.number == 1 else f"{self.payment_id}/{self.number}"

    @property
    def void_key(self) -> str:
        """The idempotency key of the refund that a void makes."""
        return f"{self.key}/void"


class Charge(Contract):
    """A charge that the provider made, or that waits for the customer."""

    reference: ExternalName
    """The provider's own id of the charge."""
    pending: PendingCustomer | None = None
    """Set while the charge waits for the customer, so no money has moved."""


class Authorization(Charge):
    """An amount that the provider has reserved for captures, or that waits for the customer."""

    expires_at: datetime | None = None
    """When the authorization lapses; None if it does not."""
    multiple_captures: bool = False
    """Whether more than one capture may follow. The first one releases the rest otherwise."""


class CaptureIntent(Contract):
    """A capture to make from an authorization."""

    payment: PaymentIntent
    """The authorization, with its reference."""
    number: int = Field(default=1, ge=1)
    """Number of the capture in its authorization."""
    amount: MinorUnits
    final: bool = True
    """Whether the provider should release what the authorization has beyond it."""

    @property
    def key(self) -> str:
        """The idempotency key of the capture."""
        return f"{self.payment.payment_id}/{self.payment.number}/capture/{self.number}"

    @property
    def decimal_amount(self) -> Decimal:
        """The amount with exactly the decimals of its currency."""
        return to_decimal(self.amount, self.payment.currency)


class Capture(Contract):
    """A capture that the provider made."""

    reference: ExternalName
    """The provider's own id of the capture."""


class RefundIntent(Contract):
    """A refund to make from what one charge or authorization has captured."""

    payment: PaymentIntent
    """The charge or the authorization, with its reference."""
    refund_id: str
    """Id of the refund in its payment. Two refunds of the same amount have two ids."""
    number: int = Field(default=1, ge=1)
    """Number of this part: a refund has one for each authorization that it takes money from."""
    amount: MinorUnits

    @property
    def key(self) -> str:
        """The idempotency key of the refund."""
        return f"{self.payment.payment_id}/refund/{self.refund_id}/{self.number}"

    @property
    def decimal_amount(self) -> Decimal:
        """The amount with exactly the decimals of its currency."""
        return to_decimal(self.amount, self.payment.currency)


class Refund(Contract):
    """A refund that the provider accepted."""

    reference: ExternalName
    """The provider's own id of the refund."""


class AmountLimits(Contract):
    """What a provider asks of every amount of a currency, in minor units."""

    step: int = Field(default=1, ge=1)
    """Each amount is a multiple of it."""
    minimum: int = Field(default=0, ge=0)
    """The least amount of a charge or an authorization; 0 without one."""


class ProviderStatus(StrEnum):
    """Where the provider has a charge or an authorization."""

    PENDING = "pending"
    """It waits for the customer, or the provider has not decided."""
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    """In whole or in part; nothing more can be captured."""
    FAILED = "failed"
    """Refused. The key may be tried again unless it was voided."""
    VOIDED = "voided"
    """It can never take money; what was captured is refunded."""


class MovementKind(StrEnum):
    """How money moved at the provider after the authorization."""

    CAPTURED = "captured"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"
    """A refund that the provider had accepted and could not pay out."""
    CHARGED_BACK = "charged_back"
    """Funds were withdrawn for a dispute."""
    CHARGE_BACK_REVERSED = "charge_back_reversed"


class Movement(Contract):
    """One movement of money in the provider's books."""

    kind: MovementKind
    key: str = ""
    """Our idempotency key; empty for a movement that Orderfleet did not make, such as a refund in a dashboard."""
    reference: ExternalName
    amount: MinorUnits
    at: datetime


class ProviderPayment(Contract):
    """A charge or an authorization in the provider's books."""

    payment_id: str
    order_id: str
    number: int = 1
    reference: ExternalName
    currency: str
    amount: MinorUnits
    """What was asked for."""
    status: ProviderStatus
    reason: str = ""
    """Why it failed; empty otherwise."""
    pending: PendingCustomer | None = None
    authorized: MinorUnits = 0
    """What was authorized, also after captures; 0 while it is pending and after it failed."""
    expires_at: datetime | None = None
    movements: tuple[Movement, ...] = ()

    def movement(self, kind: MovementKind, key: str) -> Movement | None:
        """The movement that we made under an idempotency key; None if the provider has none.

        Args:
            kind: its kind.
            key: the key of the request.
        """
        return next((each for each in self.movements if each.kind is kind and each.key == key), None)


class RetryPayment(Contract):
    """Capture the payment of a held order again."""

    method: PaymentMethod = ""
    """Pay with this method from now on; empty keeps the current one."""


class PaymentUpdate(Contract):
    """What the provider reports of a charge or an authorization without being asked."""

    reference: ExternalName
    """The provider's own id of it."""
    currency: str
    movements: tuple[Movement, ...] = ()
    decided: bool = False
    """Whether the charge or the authorization may have ended: an order that waits for the customer looks it up."""
    event: str = ""
    """The provider's name of the report."""


class VoidOutcome(StrEnum):
    """What a void found. In each case the charge or the authorization can never take money again."""

    NEVER_CHARGED = "never_charged"
    RELEASED = "released"
    """An authorization of which nothing was captured."""
    REFUNDED = "refunded"
