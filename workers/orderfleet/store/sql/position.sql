-- Where a reader that knows nothing yet begins.
select pg_current_snapshot()::text as snapshot
