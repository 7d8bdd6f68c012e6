-- Differences, the open ones first, then the latest; those that are resolved only if $1, at most $2.
select * from payment_differences
where resolved_at is null or $1
order by resolved_at desc nulls first, first_seen_at desc, payment_id, kind, key
limit $2
