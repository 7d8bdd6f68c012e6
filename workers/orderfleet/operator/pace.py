"""When a status is written: at once, or together with what comes next, so that a burst of steps is one write.

The reconciler asks, for one Order. All times are the event loop's, in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from orderfleet.operator.status import BEGINNING, Worth

BURST_GAP: Final = 0.1
"""Seconds between two writes of one status, so that steps which pass at once are one write."""
FIRST_HOLD: Final = 0.7
"""Seconds that the first status waits for the record to tell more than the beginning."""
SOON_HOLD: Final = 0.7
"""Seconds that a detail waits for company."""
LATER_HOLD: Final = 5.0
"""Seconds that the state of a shipment waits for company."""


def due(status: Mapping[str, Any], shown: Mapping[str, Any], value: Worth, *, since: float, written_at: float) -> float:
    """When a status is to be written, at the earliest.

    Args:
        status: what it would be.
        shown: what it is.
        value: how long it may wait for company.
        since: since when it is not shown.
        written_at: when the last one was written.
    """
    if value is not Worth.AT_ONCE:
        return since + (LATER_HOLD if value is Worth.LATER else SOON_HOLD)
    if status.get("step") in BEGINNING and "step" not in shown:
        return since + FIRST_HOLD
    return since if status.get("ended") else written_at + BURST_GAP
