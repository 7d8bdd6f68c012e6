"""Errors of the project. Their class names are their types in Temporal's failures.

`FINAL_ERRORS` lists those that Temporal must not retry.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final


class OrderfleetError(Exception):
    """Base of all errors that Orderfleet raises on purpose."""


class WrongSetting(OrderfleetError):
    """A setting, or a file that a setting names, is invalid; the message names it. The process exits at its start."""


class Unavailable(OrderfleetError):
    """An external service did not answer, or asked for a later retry. Retried.

    Args:
        message: which service, and what happened.
        retry_after: wait that the service asked for; None without one.
    """

    def __init__(self, message: str, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class InvalidOrder(OrderfleetError):
    """The order is invalid; the message names the fields and the remedy. Never retried."""


class InvalidInput(OrderfleetError):
    """The input of a workflow or an activity can't be read; the message says what it takes. Never retried."""


class OrderConflict(OrderfleetError):
    """The order id belongs to an order of another workflow execution. Never retried."""


class PaymentConflict(OrderfleetError):
    """The payment id belongs to another order. Never retried."""


class ReferenceConflict(InvalidOrder):
    """The reference belongs to another order, and references are unique. In Temporal it has the type of its base."""


class PaymentRefused(OrderfleetError):
    """The provider refused the charge permanently; nothing is charged. Never retried."""


class AuthorizationLapsed(PaymentRefused):
    """The authorization of a capture has lapsed or was released by the provider; nothing is captured. Never retried."""


class PaymentVoided(OrderfleetError):
    """The payment id is voided and can never be charged. Never retried."""


class ProviderRequestRejected(OrderfleetError):
    """The payment provider rejected the request itself, for example its URL or its credentials.

    Never retried; the result of an earlier attempt is unknown, so the payment is voided.
    """


class PaymentOutcomeUnknown(OrderfleetError):
    """The provider refused the charge, and another attempt may still charge.

    Never retried; the payment is voided.
    """


class ProviderUnavailable(Unavailable):
    """The payment provider did not answer, or asked for a later retry. Retried."""


class PaymentsNotListed(OrderfleetError):
    """The payment provider has no list of its payments, so they can't be compared with the ledger."""


class InvalidWebhook(OrderfleetError):
    """A request of the payment provider has a wrong signature, or is none of its events."""


class CarrierRefused(OrderfleetError):
    """The carrier refused the booking permanently. Never retried."""


class BookingVoided(CarrierRefused):
    """The booking of this shipment was voided before it was made. Never retried."""


class CarrierUnavailable(Unavailable):
    """The carrier did not answer, or asked for a later retry. Retried."""


class StoreUnavailable(OrderfleetError):
    """Postgres is unavailable or too slow. The workflow waits and retries; no attempt is used up."""


class StoreRejected(OrderfleetError):
    """Postgres rejects the values. Never retried."""


class PayloadDecryptionError(OrderfleetError):
    """The key of an encrypted payload is not available. The workflow waits and retries; no attempt is used up."""


class PayloadNotOurs(PayloadDecryptionError):
    """A payload is marked as encrypted, but no key is configured or its tag does not match."""


FINAL_ERRORS: Final = tuple(
    error.__name__
    for error in (
        InvalidOrder,
        InvalidInput,
        OrderConflict,
        PaymentConflict,
        PaymentRefused,
        AuthorizationLapsed,
        PaymentVoided,
        ProviderRequestRejected,
        PaymentOutcomeUnknown,
        CarrierRefused,
        BookingVoided,
        StoreRejected,
    )
)
"""Types of errors that are never retried."""

STORE_UNAVAILABLE: Final = StoreUnavailable.__name__
INVALID_INPUT: Final = InvalidInput.__name__
PAYLOAD_DECRYPTION_ERROR: Final = PayloadDecryptionError.__name__
