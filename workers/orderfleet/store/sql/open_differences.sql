-- Open differences that were last seen before $1, of the payments after the id $2, at most $3.
select * from payment_differences
where resolved_at is null and last_seen_at < $1 and payment_id > $2
order by payment_id, kind, key limit $3
