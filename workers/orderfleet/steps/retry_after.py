"""Activity side: whoever asks to be left alone for a while is. The attempt interceptor calls it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from temporalio import activity

from orderfleet.contracts.errors import Unavailable

LONGEST_RETRY_AFTER: Final = timedelta(minutes=5)
"""However long somebody asked to be left alone: three attempts fit well into a step's hour."""


def requested_gap(error: Exception, info: activity.Info) -> timedelta | None:
    """How long the next attempt waits because somebody asked for it; None leaves it to the policy."""
    if not isinstance(error, Unavailable) or error.retry_after is None:
        return None
    asked = min(error.retry_after, LONGEST_RETRY_AFTER)
    return asked if asked > _gap(info) else None


def _gap(info: activity.Info) -> timedelta:
    """The gap of the policy after this attempt."""
    policy = info.retry_policy
    if policy is None:
        return timedelta(0)
    longest = (policy.maximum_interval or policy.initial_interval * 100).total_seconds()
    # A refund may be tried hundreds of times, and the power must stay a number.
    grown = policy.initial_interval.total_seconds() * policy.backoff_coefficient ** min(info.attempt - 1, 60)
    return timedelta(seconds=min(grown, longest))
