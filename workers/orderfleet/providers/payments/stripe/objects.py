"""Stripe's objects, and the metadata by which they are found again.

An object is untrusted: it is validated, and every text from it is one printable line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, Field, ValidationError

from orderfleet.domain import base
from orderfleet.domain.base import Contract
from orderfleet.domain.errors import ProviderUnavailable
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.status import PendingCustomer
from orderfleet.providers.http_answers import printable_line

PAYMENT_ID: Final = "orderfleet_payment_id"
ORDER_ID: Final = "orderfleet_order_id"
NUMBER: Final = "orderfleet_number"
KEY: Final = "orderfleet_key"
"""In the metadata of a refund: its idempotency key."""
VOIDED: Final = "orderfleet_voided"
"""In the metadata of a captured PaymentIntent: its rest is refunded, or will be."""
CAPTURE: Final = "orderfleet_capture_"
"""In the metadata of a PaymentIntent, with the number of a capture: its amount, as Stripe writes it."""

CAPTURE_METHODS: Final[Mapping[CaptureMode, Any]] = {
    CaptureMode.IMMEDIATE: "automatic",
    CaptureMode.ON_SHIPMENT: "manual",
}

Metadata = Annotated[Mapping[str, str], BeforeValidator(lambda value: value or {})]


def _id_of(value: Any) -> Any:
    return value.get("id") if isinstance(value, dict) else value


ObjectId = Annotated[str | None, BeforeValidator(_id_of)]
"""The id of an object that may be expanded."""


class IntentStatus(StrEnum):
    """Where a PaymentIntent is (https://docs.stripe.com/payments/paymentintents/lifecycle)."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


UNCONFIRMED: Final = frozenset({IntentStatus.REQUIRES_PAYMENT_METHOD, IntentStatus.REQUIRES_CONFIRMATION})
"""Nothing happens until it is confirmed, for the first time or again."""

WAITING: Final = frozenset({IntentStatus.REQUIRES_ACTION, IntentStatus.PROCESSING})

_NUMBER: Final = re.compile("[0-9]{1,15}")
"""A number in metadata, which people and other software can change."""

_LAPSED: Final = frozenset({"automatic", "expired"})
"""Reasons of Stripe's own cancellations of an authorization."""


class _Multicapture(Contract):
    status: str = ""


class _Card(Contract):
    capture_before: datetime | None = None
    multicapture: _Multicapture = _Multicapture()


class _MethodDetails(Contract):
    card: _Card | None = None


class StripeCharge(Contract):
    """A Charge."""

    id: str
    created: datetime
    status: str = ""
    disputed: bool = False
    payment_method_details: _MethodDetails | None = None

    @property
    def card(self) -> _Card:
        """What it has of the card; empty for other means of payment."""
        details = self.payment_method_details
        return (details.card if details is not None else None) or _Card()


class StripeRefund(Contract):
    """A Refund."""

    id: str
    amount: int
    created: datetime
    status: str | None = None
    failure_reason: str | None = None
    metadata: Metadata = Field(default_factory=dict)
    currency: str = ""
    payment_intent: ObjectId = None

    @property
    def failed(self) -> bool:
        """Whether its money did not leave, or came in again."""
        return self.status in {"failed", "canceled"}


class _Transaction(Contract):
    amount: int
    created: datetime


class StripeDispute(Contract):
    """A Dispute."""

    id: str
    amount: int
    currency: str
    created: datetime
    status: str = ""
    payment_intent: ObjectId = None
    balance_transactions: tuple[_Transaction, ...] = ()

    @property
    def withdrawn(self) -> int:
        """What it took and did not return, as Stripe writes it."""
        taken = sum(1 if each.amount < 0 else -1 for each in self.balance_transactions)
        return self.amount * max(taken, 0)


class _EventData(Contract):
    object: Mapping[str, Any]


class StripeEvent(Contract):
    """An Event, with the object as it was when the event happened."""

    type: str
    created: datetime
    data: _EventData


class StripeIntent(Contract):
    """A PaymentIntent."""

    id: str
    status: IntentStatus
    amount: int
    amount_received: int = 0
    currency: str
    created: datetime
    capture_method: str = ""
    metadata: Metadata = Field(default_factory=dict)
    payment_method: ObjectId = None
    customer: ObjectId = None
    latest_charge: StripeCharge | str | None = None
    next_action: Mapping[str, Any] | None = None
    last_payment_error: Mapping[str, Any] | None = None
    cancellation_reason: str | None = None

    @property
    def charge(self) -> StripeCharge | None:
        """Its last charge, where the request asked for it."""
        return self.latest_charge if isinstance(self.latest_charge, StripeCharge) else None

    @property
    def charge_id(self) -> str:
        """The id of its last charge; its own before it has one."""
        return self.charge.id if self.charge is not None else str(self.latest_charge or self.id)

    @property
    def is_ours(self) -> bool:
        """Whether its metadata say of which payment it is."""
        ids = ((base.PAYMENT_ID, PAYMENT_ID), (base.ORDER_ID, ORDER_ID))
        return all(re.fullmatch(pattern, self.metadata.get(name, "")) for pattern, name in ids) and self.number > 0

    @property
    def number(self) -> int:
        """The number of the charge or the authorization in its payment; 0 if it is not ours."""
        number = self.metadata.get(NUMBER, "")
        return int(number) if _NUMBER.fullmatch(number) else 0

    @property
    def untried(self) -> bool:
        """Whether nothing has confirmed it, so it is no charge and no authorization yet."""
        return self.status in UNCONFIRMED and self.latest_charge is None and not self.decline

    @property
    def authorized(self) -> bool:
        """Whether its amount was authorized at some time."""
        if self.status in {IntentStatus.REQUIRES_CAPTURE, IntentStatus.SUCCEEDED}:
            return True
        return self.status is IntentStatus.CANCELED and self.charge is not None and self.charge.status == "succeeded"

    @property
    def voided(self) -> bool:
        """Whether it can never take money again, and its captured money is refunded or will be."""
        return self.status is IntentStatus.CANCELED or VOIDED in self.metadata

    @property
    def lapsed(self) -> bool:
        """Whether Stripe has canceled its authorization."""
        return self.status is IntentStatus.CANCELED and self.cancellation_reason in _LAPSED

    @property
    def captures(self) -> Mapping[int, int]:
        """Amounts of its captures by number, as Stripe writes them."""
        found = {name.removeprefix(CAPTURE): value for name, value in self.metadata.items() if name.startswith(CAPTURE)}
        return {int(each): int(amount) for each, amount in found.items() if all(map(_NUMBER.fullmatch, (each, amount)))}

    @property
    def decline(self) -> str:
        """Why its last confirmation failed; empty if it did not."""
        error = self.last_payment_error or {}
        codes = ", ".join(str(error[name]) for name in ("code", "decline_code") if error.get(name))
        text = printable_line(str(error.get("message") or ""))
        return f"{text} ({codes})" if text and codes else text or codes

    @property
    def pending(self) -> PendingCustomer:
        """What the customer has to do, and until when."""
        action = self.next_action or {}
        details = action.get(action.get("type", ""))
        if not isinstance(details, dict):
            return PendingCustomer()
        url = next((details[name] for name in _URLS if isinstance(details.get(name), str)), "")
        until = next((details[name] for name in _ENDS if _is_time(details.get(name))), None)
        return PendingCustomer(url=url, until=None if until is None else datetime.fromtimestamp(until, UTC))


_URLS: Final = ("url", "hosted_voucher_url", "hosted_instructions_url", "hosted_verification_url")
_ENDS: Final = ("expires_at", "expires_after")
_TIME_LIMIT: Final = 2**33
"""Unix seconds that are no date any more."""


def _is_time(value: object) -> bool:
    return isinstance(value, int) and 0 < value < _TIME_LIMIT


Object = TypeVar("Object", bound=Contract)


def read(model: type[Object], content: Mapping[str, Any]) -> Object:
    """Read an object.

    Args:
        model: of the object.
        content: of the answer or of the event.

    Raises:
        ProviderUnavailable: it is no such object.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False))
        raise ProviderUnavailable(f"Stripe gave no usable answer: {printable_line(fields)}") from None


def metadata_of(payment: PaymentIntent) -> dict[str, str]:
    """The metadata by which the PaymentIntent of a charge or an authorization is found."""
    return {PAYMENT_ID: payment.payment_id, ORDER_ID: payment.order_id, NUMBER: str(payment.number)}
