-- Unfinished orders by step, those past their deadline by step, those that are held by the hold's name, pending payments by
-- status, and open differences from the payment provider's books by kind, each with the age of the oldest in seconds;
-- and the age of the last reconciliation. Levels of stock without a free piece, and reservations that have expired. Reads partial indexes only, so the cost grows with what is unfinished.
select 'order' as kind, step as key, count(*) as count, extract(epoch from now() - min(created_at))::float8 as oldest
from orders
where step in ('receive', 'validate', 'manual_review', 'charge', 'shipping')
group by step
union all
select 'overdue_order', step, count(*), extract(epoch from now() - min(deadline_at))::float8
from orders
where deadline_at < now() and completed_at is null
    and step in ('receive', 'validate', 'manual_review', 'charge', 'shipping')
group by step
union all
select 'held_order', hold ->> 'name', count(*), extract(epoch from now() - min((hold ->> 'since')::timestamptz))::float8
from orders
where hold is not null
group by hold ->> 'name'
union all
select 'payment', status, count(*), extract(epoch from now() - min(since))::float8
from pending_payments
group by status
union all
select case when safe then 'safe_difference' else 'unsafe_difference' end, kind, count(*),
    extract(epoch from now() - min(first_seen_at))::float8
from payment_differences
where resolved_at is null
group by safe, kind
union all
select 'reconciliation', name, 1, extract(epoch from now() - completed_at)::float8
from payment_reconciliations
where name = 'last'
union all
select 'stock_level', case when short then 'short' else 'sold_out' end, count(*), 0
from stock_levels
where sold_out
group by short
union all
select 'expired_reservation', 'held', count(*), extract(epoch from now() - min(expires_at))::float8
from stock_reservations
where state = 'held' and expires_at <= now()
having count(*) > 0
