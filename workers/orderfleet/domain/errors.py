"""Errors that cross a boundary. Their class names are their types in Temporal's failures.

Activities raise them plainly; `FINAL_ERRORS` in a retry policy tells Temporal which of them no
further attempt can mend.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final


class OrderfleetError(Exception):
    """Base of all errors that Orderfleet raises on purpose."""


class WrongSetting(OrderfleetError):
    """A setting, or a file that one names, can't be used: the process ends as it starts; the message says which."""


class Unavailable(OrderfleetError):
    """Somebody outside did not answer, or asked to come back later. Retried.

    Args:
        message: who, and what happened.
        retry_after: how long they asked to be left alone; None when they did not say.
    """

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InvalidOrder(OrderfleetError):
    """The order is wrong; the message names the field and what to do. Never retried."""


class InvalidInput(OrderfleetError):
    """A workflow or an activity was started with what it can't read; the message says what it takes. Never retried."""


class OrderConflict(OrderfleetError):
    """The order id belongs to an order that was recorded before. Never retried."""


class PaymentConflict(OrderfleetError):
    """The payment id belongs to another order. Never retried."""


class PaymentRefused(OrderfleetError):
    """The provider refused the charge for good; no money was taken. Never retried."""


class PaymentVoided(OrderfleetError):
    """The payment id was voided: it can never be charged. Never retried."""


class ProviderRequestRejected(OrderfleetError):
    """The payment provider turned a request away without a word on the payment, as for a wrong address.

    Never retried; what an earlier attempt did is unknown, so the payment is voided.
    """


class PaymentOutcomeUnknown(OrderfleetError):
    """The provider refused the charge, and another attempt may still take the money.

    Never retried; the payment is voided.
    """


class ProviderUnavailable(Unavailable):
    """The payment provider did not answer, or asked to come back later. Retried."""


class CarrierRefused(OrderfleetError):
    """The carrier refused the booking for good. Never retried."""


class BookingVoided(CarrierRefused):
    """The booking of this attempt was voided before it was made. Never retried."""


class CarrierUnavailable(Unavailable):
    """The carrier did not answer, or asked to come back later. Retried."""


class StoreUnavailable(OrderfleetError):
    """Postgres is away or too slow. Waited out by the workflow; uses up no attempt."""


class StoreRejected(OrderfleetError):
    """Postgres rejects the values, however often they are written. Never retried."""


class PayloadDecryptionError(OrderfleetError):
    """A payload is encrypted with a key that isn't at hand. Waited out by the workflow; uses up no attempt."""


class PayloadNotOurs(PayloadDecryptionError):
    """A payload is marked as encrypted and no key will open it: there are no keys, or its tag doesn't match."""


FINAL_ERRORS: Final = tuple(
    error.__name__
    for error in (
        InvalidOrder,
        InvalidInput,
        OrderConflict,
        PaymentConflict,
        PaymentRefused,
        PaymentVoided,
        ProviderRequestRejected,
        PaymentOutcomeUnknown,
        CarrierRefused,
        BookingVoided,
        StoreRejected,
    )
)
"""Error types that no further attempt can mend."""

STORE_UNAVAILABLE: Final = StoreUnavailable.__name__
INVALID_INPUT: Final = InvalidInput.__name__
PAYLOAD_DECRYPTION_ERROR: Final = PayloadDecryptionError.__name__
