"""Bodies of the calls to a payment service and of its answers. `deploy/docs/providers.md` is their contract.

An answer names the payment and repeats what was asked for; its amounts have no more decimals than their currency.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from orderfleet.domain.base import Contract
from orderfleet.domain.money import EXPONENTS, Money, minor_units, to_decimal
from orderfleet.domain.payment import (
    CaptureIntent,
    Movement,
    MovementKind,
    PaymentIntent,
    ProviderPayment,
    ProviderStatus,
    RefundIntent,
    VoidOutcome,
)
from orderfleet.domain.status import PendingCustomer

Reference = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
"""The service's own id: 1 to 200 printable characters."""

PositiveMoney = Annotated[Money, Field(ge=0, allow_inf_nan=False)]


class PaymentRequest(Contract):
    """What every call says of its charge or authorization."""

    payment_id: str
    number: int
    """Of the authorization in its payment; 1 unless the one before it lapsed."""
    order_id: str
    amount: str
    """A decimal with exactly the decimals of the currency, such as 9.00 USD and 101 JPY."""
    currency: str


class ChargeRequest(PaymentRequest):
    """Body of a charge, an authorization and a void; `amount` is that of the charge or the authorization."""

    method: str
    """The service's token of the means of payment; empty leaves the choice to the service."""


class CaptureRequest(PaymentRequest):
    """Body of a capture; `amount` is what to capture."""

    capture: int
    """Number of the capture in its authorization."""
    final: bool
    """Whether to release what the authorization has beyond it."""


class RefundRequest(PaymentRequest):
    """Body of a refund; `amount` is what to refund."""

    refund_id: str
    part: int
    """Number of this part of the refund."""


def charge_request(payment: PaymentIntent) -> ChargeRequest:
    """The body of a charge, an authorization or a void."""
    return ChargeRequest(**_named(payment), amount=str(payment.decimal_amount), method=payment.method)


def capture_request(capture: CaptureIntent) -> CaptureRequest:
    """The body of a capture."""
    amount, names = str(capture.decimal_amount), _named(capture.payment)
    return CaptureRequest(**names, amount=amount, capture=capture.number, final=capture.final)


def refund_request(refund: RefundIntent) -> RefundRequest:
    """The body of a refund."""
    amount, names = str(refund.decimal_amount), _named(refund.payment)
    return RefundRequest(**names, amount=amount, refund_id=refund.refund_id, part=refund.number)


def _named(payment: PaymentIntent) -> dict[str, object]:
    return payment.model_dump(include={"payment_id", "number", "order_id", "currency"})


class NamedAnswer(Contract):
    """An answer names its charge or authorization."""

    payment_id: str
    number: int = 1
    """A service may leave out the number of the first one."""


class PendingAnswer(Contract):
    """What the customer has to do."""

    url: Annotated[str, StringConstraints(pattern=r"^(https?://[^\s\x00-\x1f\x7f]{1,2000})?$")] = ""
    """A page of HTTP or HTTPS, because it is shown as a link."""
    until: AwareDatetime | None = None


class DecidedAnswer(NamedAnswer):
    """What an answer to a charge and to an authorization has, also while it waits for the customer."""

    status: str
    amount: Money
    currency: str
    reference: Reference
    pending: PendingAnswer = PendingAnswer()

    @property
    def customer(self) -> PendingCustomer | None:
        """What the customer has to do; None where nothing is pending."""
        return PendingCustomer(**dict(self.pending)) if self.status == "pending" else None


class ChargeAnswer(DecidedAnswer):
    """This call or an earlier one with its key charged the payment, or waits for the customer."""

    status: Literal["charged", "pending"]


class AuthorizationAnswer(DecidedAnswer):
    """This call or an earlier one with its key authorized the amount, or waits for the customer."""

    status: Literal["authorized", "pending"]
    expires_at: AwareDatetime | None = None
    multiple_captures: bool = False


class CaptureAnswer(NamedAnswer):
    """This call or an earlier one with its key captured the amount."""

    status: Literal["captured"]
    capture: int
    amount: Money
    currency: str
    reference: Reference


class RefundAnswer(NamedAnswer):
    """This call or an earlier one with its key refunded the amount."""

    status: Literal["refunded"]
    refund_id: str
    part: int = 1
    amount: Money
    currency: str
    reference: Reference


class VoidAnswer(NamedAnswer):
    """The charge or the authorization can never take money again."""

    outcome: VoidOutcome


class MovementAnswer(Contract):
    """A movement of money in the service's books."""

    kind: MovementKind
    key: str = ""
    reference: Reference
    amount: PositiveMoney
    at: AwareDatetime


class PaymentAnswer(NamedAnswer):
    """A charge or an authorization in the service's books."""

    order_id: str
    currency: str
    amount: PositiveMoney
    status: ProviderStatus
    reason: str = ""
    pending: PendingAnswer | None = None
    authorized: PositiveMoney = Decimal(0)
    expires_at: AwareDatetime | None = None
    reference: Reference
    movements: tuple[MovementAnswer, ...] = ()

    @model_validator(mode="after")
    def _amounts_are_exact(self) -> Self:
        if self.currency not in EXPONENTS:
            raise ValueError(f"currency {self.currency!r} is unknown")
        for amount in (self.amount, self.authorized, *(each.amount for each in self.movements)):
            if to_decimal(minor_units(amount, self.currency), self.currency) != amount:
                raise ValueError(f"{amount} {self.currency} has too many decimals")
        return self

    def payment(self) -> ProviderPayment:
        """The answer with amounts in minor units."""
        fields = dict(self)
        fields["amount"] = minor_units(self.amount, self.currency)
        fields["authorized"] = minor_units(self.authorized, self.currency)
        fields["pending"] = None if self.pending is None else PendingCustomer(**dict(self.pending))
        fields["movements"] = tuple(
            Movement(**{**dict(each), "amount": minor_units(each.amount, self.currency)}) for each in self.movements
        )
        return ProviderPayment(**fields)


class PaymentsAnswer(Contract):
    """One page of the service's books."""

    payments: tuple[PaymentAnswer, ...]
    next: str | None = None
    """Cursor of the next page; None on the last one."""
