"""How a step is tried: timeouts, attempts, backoff. Part of the workflow's input.

A changed setting must not change a running order, so the values travel in the input. A policy is written as the number
of a set of defaults and what differs from it: in full, it is most of an order's history.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints, model_serializer, model_validator

from orderfleet.domain.base import Contract
from orderfleet.domain.durations import PositiveDuration, format_duration
from orderfleet.domain.names import SHIPPING_TASK_QUEUE


def _seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


Attempts = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""Attempts of a step. Temporal's retry policy holds 32 bits; a command with more fails the workflow task."""
Backoff = Annotated[float, Field(ge=1, le=1000)]
"""Factor from one wait to the next. JSON has no infinity."""
ShippingAttempts = Annotated[int, Field(ge=1, le=100)]
"""Maximum shipments of one order. Each is a child workflow with events in the order's history."""
TaskQueue = Annotated[str, StringConstraints(pattern=r"^[^/\s][^\s]{0,199}$")]
"""Name of a task queue. Temporal rejects one that is empty, too long or begins with `/_sys/`."""


class StepPolicy(Contract):
    """Time-outs and attempts of one step.

    The attempts count failures of the order and of providers, but not an unavailable store.
    """

    attempt_timeout: PositiveDuration = _seconds(3)
    """Start-to-close time-out of one attempt."""
    attempts: Attempts = 3
    initial_interval: PositiveDuration = _seconds(1)
    backoff: Backoff = 2.0
    maximum_interval: PositiveDuration = _seconds(30)
    total_timeout: PositiveDuration = _seconds(3600)
    """Schedule-to-close time-out of the step, over all attempts."""


LOCAL_ATTEMPT_TIMEOUT: Final = _seconds(1)
"""Time-out of the one attempt of a local activity; a regular one follows it."""


ANSWER_MARGIN: Final = _seconds(0.2)
"""Time at the end of an attempt that is reserved for its result to reach Temporal."""
LEAST_FOR_THE_STORE: Final = _seconds(0.2)
"""Minimum remaining time of an attempt for a call of the store."""


class OutagePolicy(Contract):
    """Waits between tries without limit, doubling from the first to the longest, on durable timers."""

    first: PositiveDuration = _seconds(1)
    longest: PositiveDuration = _seconds(60)


class AddressValidation(StrEnum):
    """How much of an address is checked."""

    BASIC = "basic"
    """Street and city; no city where the address's country has none."""
    REQUIRED = "required"
    """Also what the address's country requires, where a country is given."""
    STRICT = "strict"
    """Also the form of the postal code, and that state, city and district are in the country."""


class AddressChecks(Contract):
    """How an order's addresses are checked, at its start and when they change."""

    validation: AddressValidation = AddressValidation.REQUIRED
    default_country: str = Field(default="", max_length=2)
    """Country of an address that names none, by its two letters of ISO 3166-1; empty for none."""


class OrderPolicy(Contract):
    """The settings of an order, which are fixed when it starts."""

    receive: StepPolicy = StepPolicy(attempt_timeout=_seconds(3))
    validation: StepPolicy = StepPolicy(attempt_timeout=_seconds(3))
    record: StepPolicy = StepPolicy(attempt_timeout=_seconds(3))
    charge: StepPolicy = StepPolicy(attempt_timeout=_seconds(4))
    prepare_package: StepPolicy = StepPolicy(attempt_timeout=_seconds(5))
    dispatch_carrier: StepPolicy = StepPolicy(attempt_timeout=_seconds(5))
    outage: OutagePolicy = OutagePolicy()
    refund: StepPolicy = StepPolicy(attempt_timeout=_seconds(5))
    """Policy of one round of a refund or a void, which are retried in rounds until they succeed."""
    retry_forever_backoff: OutagePolicy = OutagePolicy(first=_seconds(1), longest=_seconds(3600))
    """Waits between the rounds of a step that is retried until it succeeds, such as a refund."""
    capture: StepPolicy = StepPolicy(attempt_timeout=_seconds(5))
    capture_retries: OutagePolicy = OutagePolicy(first=_seconds(60), longest=_seconds(3600))
    """Waits between the captures of an order that is held with `capture_unknown`."""
    payment_hold: PositiveDuration = timedelta(days=7)
    """How long an order is held for its capture before it is canceled."""
    payment_pending: PositiveDuration = timedelta(hours=1)
    """How long a payment waits for the customer, if the provider names no end."""
    payment_look_ups: OutagePolicy = OutagePolicy(first=_seconds(5), longest=_seconds(300))
    """Waits between the look-ups of a payment that waits for the customer."""
    shipping_task_queue: TaskQueue = SHIPPING_TASK_QUEUE
    shipping_attempts: ShippingAttempts = 2
    """Shipments that are tried before the order fails."""
    require_prices: bool | None = None
    """Whether an item without a price is an error. None, as in a raw start: the worker's setting decides."""
    address_checks: AddressChecks | None = None
    """None, as in a raw start: the settings of the worker that validates the order decide."""
    changes_per_run: int = Field(default=1000, ge=1, le=10_000)
    """Signals and updates one run takes before the workflow continues as new; Temporal allows 2,000 updates."""

    @model_serializer
    def _write_differences(self) -> dict[str, Any]:
        """The number of the current defaults, and what differs from them."""
        return {_DEFAULTS: CURRENT_DEFAULTS, **_plain(self, _CURRENT)}

    @model_validator(mode="before")
    @classmethod
    def _read_differences(cls, data: Any) -> Any:
        """Fill a policy that names its defaults; one that doesn't, as of a raw client, is on the current ones."""
        if not isinstance(data, Mapping) or _DEFAULTS not in data:
            return data
        number = data[_DEFAULTS]
        if number != CURRENT_DEFAULTS and number not in OTHER_DEFAULTS:
            raise ValueError(f"{_DEFAULTS}: this build has no defaults of number {number!r}")
        return _merged(OTHER_DEFAULTS.get(number) or _plain(_CURRENT), data)


CURRENT_DEFAULTS: Final = 1
"""Number of the defaults that the classes above and `_CURRENT` have. Orders that run were started with a number."""
OTHER_DEFAULTS: Final[Mapping[int, Mapping[str, Any]]] = {}
"""Defaults of other numbers, as JSON in full. Before a default above is changed, the old ones are copied here.

Those of the next number too, one release earlier: a build without them rejects a policy that the next build writes.
"""

_DEFAULTS: Final = "defaults"
# The class has no checks of addresses, since a raw start has none. A policy of the settings has them, and is written
# without these.
_CURRENT: Final = OrderPolicy(address_checks=AddressChecks())


def _plain(policy: Contract, defaults: Contract | None = None) -> dict[str, Any]:
    """The fields of a policy as JSON, in full or without those that are the default."""
    fields: dict[str, Any] = {}
    for name, value in policy:
        default = None if defaults is None else getattr(defaults, name)
        if defaults is not None and value == default:
            continue
        if isinstance(value, Contract):
            fields[name] = _plain(value, default)
        else:
            fields[name] = format_duration(value) if isinstance(value, timedelta) else value
    return fields


def _merged(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` over `defaults`, field by field."""
    merged = dict(defaults)
    for name, value in values.items():
        default = merged.get(name)
        merged[name] = _merged(default, value) if isinstance(default, Mapping) and isinstance(value, Mapping) else value
    return merged
