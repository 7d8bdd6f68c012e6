"""Statements, the pool they wait for, and the change feed."""

from __future__ import annotations

from orderfleet.telemetry.catalog.declare import ALL, OPERATOR_ONLY, SHORT, counter, gauge, histogram, values

DATABASE_DURATION = histogram(
    "orderfleet_database_operation_duration_seconds",
    "One statement, with the wait for its connection; its count is the number of statements.",
    ALL,
    SHORT,
    operation="name of the statement",
    outcome=values("ok", "unavailable", "canceled", "error"),
)
DATABASE_WAIT = histogram("orderfleet_database_pool_wait_seconds", "Wait for a connection of the pool.", ALL, SHORT)
DATABASE_WAITING = gauge("orderfleet_database_pool_waiting", "Statements that wait for a connection.", ALL)
DATABASE_IN_USE = gauge("orderfleet_database_pool_in_use", "Connections of the pool that run a statement.", ALL)
DATABASE_POOL_SIZE = gauge("orderfleet_database_pool_size", "Connections that the pool holds at most.", ALL)
FEED_LAG = gauge(
    "orderfleet_feed_lag_seconds",
    "How long ago the follower of the change feed had been told everything; NaN before its beginning.",
    OPERATOR_ONLY,
)
FEED_LAG_ROWS = gauge(
    "orderfleet_feed_lag_rows",
    "Changed orders that wait to be told, as of the last look; counted up to 100,000.",
    OPERATOR_ONLY,
)
FEED_CHANGES = counter("orderfleet_feed_changes_total", "Changed orders told.", OPERATOR_ONLY)
