"""The order store in Postgres: connection pool, writes, reads, change feed, migrations.

All SQL is in `sql/` and in the migrations.
"""
