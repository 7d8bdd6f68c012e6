"""The record in Postgres: pool, writes, reads, change feed, migrations. The one home of SQL."""

from orderfleet.store.connection import connect
from orderfleet.store.feed import Feed
from orderfleet.store.orphans import Orphans
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.survey import RecordSurvey
from orderfleet.store.writes import OrderRecord

__all__ = ["Database", "Feed", "OrderReads", "OrderRecord", "Orphans", "RecordSurvey", "connect"]
