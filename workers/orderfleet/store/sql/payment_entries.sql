-- Entries from the day $1 to the day $2 (UTC), oldest first, at most $7; those after the entry ($3, $4, $5, $6) if it is given.
select e.at, p.order_id, e.payment_id, e.kind, e.amount, e.currency, e.source, e.reference, e.key, e.counts
from payment_entries as e
join payments as p on p.payment_id = e.payment_id
where ($1::date is null or e.at >= $1::timestamp at time zone 'utc')
    and ($2::date is null or e.at < ($2::date + 1)::timestamp at time zone 'utc')
    and ($3::timestamptz is null or e.at >= $3 and (e.at, e.payment_id, e.kind, e.key) > ($3, $4::text, $5::text, $6::text))
order by e.at, e.payment_id, e.kind, e.key
limit $7
