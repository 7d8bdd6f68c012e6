"""Defaults of an order and policies of its steps. A workflow keeps those that applied when it started."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel

from orderfleet.domain.address_rules import known_country
from orderfleet.domain.durations import PositiveDuration, parse_duration
from orderfleet.domain.order import CaptureMode, Delivery, PaymentTerms, Review, ReviewMode, ReviewTimeoutAction
from orderfleet.domain.policy import (
    AddressChecks,
    AddressValidation,
    Attempts,
    Backoff,
    OutagePolicy,
    ShippingAttempts,
    StepPolicy,
)
from orderfleet.settings.base import Group


def _known_code(code: str) -> str:
    if code and known_country(code) is None:
        raise ValueError("is no country; write the two letters of ISO 3166-1, such as US")
    return code.strip().upper()


CountryCode = Annotated[str, AfterValidator(_known_code)]
"""Two letters of ISO 3166-1, in upper case; empty for none."""


class OrderSettings(Group):
    """Defaults for the fields that an order leaves out."""

    review_mode: ReviewMode = ReviewMode.MANUAL
    """Default of an order's `review.mode`."""
    review_timeout: PositiveDuration = parse_duration("24h")
    """Default of an order's `review.timeout`."""
    review_on_timeout: ReviewTimeoutAction = ReviewTimeoutAction.CANCEL
    """Default of an order's `review.onTimeout`."""
    order_deadline: PositiveDuration | None = None
    """Default of an order's `deadline`; unset is none."""
    order_execution_timeout: PositiveDuration | None = None
    """Temporal's execution timeout of an order's workflow, for tests and demos: it ends the workflow without
    compensation. Unset is none. Use `deadline` to cancel and compensate."""
    delivery_confirm: bool = False
    """Default of an order's `delivery.confirm`."""
    delivery_timeout: PositiveDuration = parse_duration("336h")
    """Default of an order's `delivery.timeout`."""
    payment_capture: CaptureMode = CaptureMode.IMMEDIATE
    """Default of an order's `payment.capture`. `immediate`: charged in one call, before it ships. `onShipment`:
    authorized then, and captured before its package is handed to the carrier."""
    payment_hold: PositiveDuration = parse_duration("168h")
    """How long an order whose capture is refused or unknown is held before it is canceled."""
    payment_pending_timeout: PositiveDuration = parse_duration("1h")
    """How long a payment waits for the customer, such as for 3-D Secure, if the provider names no end. Then the order
    is canceled."""
    require_prices: bool | None = None
    """Reject an order with an item that has no price; `false` counts such an item 1.00. Unset: `true`, and `false`
    where `ORDERFLEET_SAMPLE_ORDERS` is on."""
    address_validation: AddressValidation = AddressValidation.REQUIRED
    """How much of an address is checked. `basic`: street and city, and no city where the country has none. `required`:
    also what the address's country requires, such as state and zip in the US; no more than that where no country is
    given or its code is unknown. `strict`: also the form of the postal code, and that state, city and district are in
    the country. An order keeps what applied at its start."""
    default_country: CountryCode = ""
    """Country by which an address that names none is checked: two letters of ISO 3166-1, such as `US`. Empty is none.
    The address itself stays as written."""
    unique_reference: bool = False
    """Reject an order whose reference another order has, also one that has ended. API and command line check it before
    the start; an order that another client or an Order starts fails when a worker receives it."""
    sample_orders: bool = False
    """Use a sample item and address if a request leaves them out. Local only."""

    def address_checks(self) -> AddressChecks:
        """How the addresses of an order that starts now are checked."""
        return AddressChecks(validation=self.address_validation, default_country=self.default_country)

    def prices_required(self) -> bool:
        """Whether an item without a price is an error."""
        return not self.sample_orders if self.require_prices is None else self.require_prices

    def review(self, given: BaseModel | None) -> Review:
        """The `review` of an order: the `given` terms, and the defaults of those that are None."""
        default = Review(mode=self.review_mode, timeout=self.review_timeout, on_timeout=self.review_on_timeout)
        return default.model_copy(update=_set_fields(given))

    def payment(self, given: BaseModel | None) -> PaymentTerms:
        """The `payment` of an order: the `given` terms, and the defaults of those that are None."""
        return PaymentTerms(capture=self.payment_capture).model_copy(update=_set_fields(given))

    def delivery(self, given: BaseModel | None) -> Delivery:
        """The `delivery` of an order: the `given` terms, and the defaults of those that are None."""
        default = Delivery(confirm=self.delivery_confirm, timeout=self.delivery_timeout)
        return default.model_copy(update=_set_fields(given))


def _set_fields(given: BaseModel | None) -> dict[str, Any]:
    """The fields that are not None, as values; a dump would turn durations into text."""
    return {name: value for name, value in given or () if value is not None}


class StepSettings(Group):
    """Settings of the steps, and the policies made from them."""

    step_attempts: Attempts = 3
    """Attempts of each step."""
    step_initial_interval: PositiveDuration = parse_duration("1s")
    """Wait after the first failed attempt."""
    step_backoff: Backoff = 2.0
    """Factor from one wait to the next."""
    step_maximum_interval: PositiveDuration = parse_duration("30s")
    """Longest wait between attempts."""
    step_schedule_to_close_timeout: PositiveDuration = parse_duration("1h")
    """Timeout of a step over all attempts."""
    receive_timeout: PositiveDuration = parse_duration("3s")
    """Timeout of an attempt of `receive`."""
    validate_timeout: PositiveDuration = parse_duration("3s")
    """Timeout of an attempt of `validate`."""
    record_timeout: PositiveDuration = parse_duration("3s")
    """Timeout of an attempt to record progress."""
    charge_timeout: PositiveDuration = parse_duration("4s")
    """Timeout of an attempt of `charge`."""
    prepare_package_timeout: PositiveDuration = parse_duration("5s")
    """Timeout of an attempt of `prepare_package`."""
    dispatch_carrier_timeout: PositiveDuration = parse_duration("5s")
    """Timeout of an attempt of `dispatch_carrier`."""
    capture_timeout: PositiveDuration = parse_duration("5s")
    """Timeout of an attempt of `capture_payment`."""
    refund_timeout: PositiveDuration = parse_duration("5s")
    """Timeout of an attempt to refund a payment or to void a charge."""
    shipping_attempts: ShippingAttempts = 2
    """Number of shipments tried before the order's dispatch fails permanently."""
    store_outage_initial_backoff: PositiveDuration = parse_duration("1s")
    """First wait between retries while Postgres is unavailable."""
    store_outage_max_backoff: PositiveDuration = parse_duration("60s")
    """Longest wait between retries while Postgres is unavailable."""

    def step(self, attempt_timeout: timedelta) -> StepPolicy:
        """The policy of a step whose attempts have this timeout."""
        return StepPolicy(
            attempt_timeout=attempt_timeout,
            attempts=self.step_attempts,
            initial_interval=self.step_initial_interval,
            backoff=self.step_backoff,
            maximum_interval=self.step_maximum_interval,
            total_timeout=self.step_schedule_to_close_timeout,
        )

    def outage(self) -> OutagePolicy:
        """The policy of retries while Postgres is unavailable."""
        return OutagePolicy(first=self.store_outage_initial_backoff, longest=self.store_outage_max_backoff)
