"""Shows how far the follower of the change feed is behind. Implements `FeedObserver`; the feed calls it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from orderfleet.telemetry.catalog import FEED_CHANGES, FEED_LAG, FEED_LAG_ROWS


class FeedMetrics:
    """Rows and seconds behind, changes told."""

    def behind(self, rows: int) -> None:
        """Rows that wait."""
        FEED_LAG_ROWS.set(rows)

    def told(self, rows: int) -> None:
        """Rows that the follower took."""
        FEED_CHANGES.inc(rows)


def show_lag(behind: Callable[[], timedelta | None]) -> None:
    """Have each scrape ask how long the follower is behind; it must be asked within the event loop."""

    def seconds() -> float:
        lag = behind()
        return float("nan") if lag is None else lag.total_seconds()

    FEED_LAG.set_function(seconds)
