"""How Temporal's SDK exposes its own metrics: names, units and buckets. The worker's runtime asks it.

Seen in SDK 1.35: `durations_as_seconds` divides the default buckets by 1,000, schedule-to-start buckets
begin at 100 ms and end-to-end buckets stop at 24 h, so every latency is given its own, by its name
without prefix and unit. A name also matches every longer one that it ends, in no certain order
(`request_latency` is `long_request_latency` too): such a pair must be given the same buckets.
"""

from __future__ import annotations

from typing import Final

from temporalio.runtime import PrometheusConfig

from orderfleet.telemetry.catalog import LONG, SHORT

LONG_LATENCIES: Final = (
    "workflow_endtoend_latency",
    "activity_schedule_to_start_latency",
    "activity_succeed_endtoend_latency",
    "local_activity_succeed_endtoend_latency",
    "workflow_task_schedule_to_start_latency",
)
"""These may last as long as people, retries or a backlog make them."""
SHORT_LATENCIES: Final = (
    "activity_execution_latency",
    "local_activity_execution_latency",
    "workflow_task_execution_latency",
    "workflow_task_replay_latency",
    "request_latency",
    "long_request_latency",
)
"""These a time-out ends."""


def prometheus(address: str) -> PrometheusConfig:
    """The SDK's Prometheus port at `address` (`host:port`)."""
    return PrometheusConfig(
        bind_address=address,
        counters_total_suffix=True,
        durations_as_seconds=True,
        unit_suffix=True,
        histogram_bucket_overrides={
            **dict.fromkeys(LONG_LATENCIES, LONG),
            **dict.fromkeys(SHORT_LATENCIES, SHORT),
        },
    )
