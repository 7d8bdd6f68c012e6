-- Payments with entries that were recorded from $1 until before $2, after the id $3, at most $4.
select distinct payment_id from payment_entries
where recorded_at >= $1 and recorded_at < $2 and payment_id > $3
order by payment_id limit $4
