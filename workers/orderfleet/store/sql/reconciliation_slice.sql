-- The end of a slice of the ledger that begins at $1: at most $2, and not after the first $3 entries.
select coalesce((
    select recorded_at from payment_entries
    where recorded_at > $1 and recorded_at < $2
    order by recorded_at offset $3 limit 1
), $2) as slice_end
