"""The order store in Postgres: connection pool, writes, reads, change feed, migrations.

All SQL is in `sql/` and in the migrations.
"""

from orderfleet.store.feed import Feed
from orderfleet.store.orphans import Orphans
from orderfleet.store.pool import Database, connect
from orderfleet.store.reads import BacklogSampler, OrderReads
from orderfleet.store.writes import OrderWrites

__all__ = ["BacklogSampler", "Database", "Feed", "OrderReads", "OrderWrites", "Orphans", "connect"]
