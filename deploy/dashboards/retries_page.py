"""The dashboard of retries and latency."""

from __future__ import annotations

from panels import Page, Panel, Query, Row
from queries import quantiles, rate

PAGE = Page(
    "orderfleet-retries",
    "Orderfleet: retries and latency",
    "How long each step takes, how often it is retried, and why.",
    [
        Row(
            "Retries",
            [
                Panel(
                    "Attempts by activity",
                    "ops",
                    "Attempts started, per second.",
                    [Query(rate("orderfleet_step_attempts_total", "activity", "kind"), "{{activity}} {{kind}}")],
                ),
                Panel(
                    "Retries by activity",
                    "ops",
                    "Attempts beyond the first, per second.",
                    [Query(rate("orderfleet_step_retries_total", "activity"), "{{activity}}")],
                    "OrderfleetStepFailing",
                ),
                Panel(
                    "Failures by kind of error",
                    "ops",
                    "Attempts that raised, per second.",
                    [Query(rate("orderfleet_step_failures_total", "activity", "error"), "{{activity}} {{error}}")],
                    "OrderfleetStepFailing",
                ),
                Panel(
                    "Timeouts by activity",
                    "ops",
                    "Attempts that timed out, per second.",
                    [Query(rate("orderfleet_step_timeouts_total", "activity"), "{{activity}}")],
                    "OrderfleetStepFailing",
                ),
            ],
        ),
        Row(
            "Latency",
            [
                Panel(
                    "Time per attempt",
                    "s",
                    "By activity, for every outcome.",
                    quantiles("orderfleet_step_duration_seconds", "activity"),
                ),
                Panel(
                    "Provider and carrier",
                    "s",
                    "Time per call.",
                    quantiles("orderfleet_provider_call_duration_seconds", "provider", "call"),
                ),
                Panel(
                    "Calls by outcome",
                    "ops",
                    "Calls to the payment provider and the carrier, per second.",
                    [
                        Query(
                            rate("orderfleet_provider_call_duration_seconds_count", "provider", "call", "outcome"),
                            "{{provider}} {{call}} {{outcome}}",
                        )
                    ],
                ),
                Panel(
                    "Statements",
                    "s",
                    "Time per statement of the order store, including the wait for a connection.",
                    quantiles("orderfleet_database_operation_duration_seconds", "operation"),
                ),
                Panel(
                    "Statements by outcome",
                    "ops",
                    "Statements per second.",
                    [Query(rate("orderfleet_database_operation_duration_seconds_count", "outcome"), "{{outcome}}")],
                ),
                Panel(
                    "Wait for a connection",
                    "s",
                    "In the pools of all processes.",
                    quantiles("orderfleet_database_pool_wait_seconds"),
                    "OrderfleetDatabasePoolExhausted",
                ),
                Panel(
                    "Pool",
                    "short",
                    "Connections in use and statements that wait, of each process.",
                    [
                        Query("orderfleet_database_pool_in_use", "{{instance}} in use"),
                        Query("orderfleet_database_pool_waiting", "{{instance}} waiting"),
                        Query("orderfleet_database_pool_size", "{{instance}} at most"),
                    ],
                    "OrderfleetDatabasePoolExhausted",
                ),
            ],
        ),
    ],
)
