-- The present snapshot: where a new follower of the change feed begins.
select pg_current_snapshot()::text as snapshot
