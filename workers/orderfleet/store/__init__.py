"""The order store in Postgres: connection pool, writes, reads, change feed, migrations.

All SQL is in `sql/` and in the migrations.
"""

from orderfleet.store.feed import PostgresChangeFeed
from orderfleet.store.orphans import PostgresOrphanStore
from orderfleet.store.pool import Database, connect
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites

__all__ = ["Database", "OrderReads", "OrderWrites", "PostgresChangeFeed", "PostgresOrphanStore", "connect"]
