"""Attempts of steps, and calls to the payment provider and the carrier."""

from __future__ import annotations

from orderfleet.telemetry.catalog.declare import SHORT, WORKERS, counter, histogram, values

_STEP = "name of the activity"

STEP_ATTEMPTS = counter(
    "orderfleet_step_attempts_total",
    "Attempts begun, also those that a kill or a time-out ended.",
    WORKERS,
    step=_STEP,
    kind=values("local", "regular"),
)
STEP_RETRIES = counter(
    "orderfleet_step_retries_total", "Attempts begun beyond the first of an activity.", WORKERS, step=_STEP
)
STEP_DURATION = histogram(
    "orderfleet_step_duration_seconds",
    "One attempt, from its begin to its end in the worker.",
    WORKERS,
    SHORT,
    step=_STEP,
    outcome=values("ok", "failed", "timed_out", "canceled"),
)
STEP_FAILURES = counter(
    "orderfleet_step_failures_total",
    "Attempts that raised, by class of the error.",
    WORKERS,
    step=_STEP,
    error="class name of one of the product's errors, else `other`",
)
STEP_TIMEOUTS = counter(
    "orderfleet_step_timeouts_total",
    "Attempts that their time-out overtook, whatever came of them.",
    WORKERS,
    step=_STEP,
)
PROVIDER_CALL_DURATION = histogram(
    "orderfleet_provider_call_duration_seconds",
    "One call to the payment provider or the carrier; its count is the number of calls.",
    WORKERS,
    SHORT,
    provider=values("payments", "carrier"),
    call=values("charge", "void", "refund", "book", "void_booking"),
    outcome=values("ok", "refused", "unavailable", "canceled", "error"),
)
