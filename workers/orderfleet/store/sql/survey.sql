-- Unfinished orders by step, those of them past their deadline, and payments of which something is still owed,
-- each with the age of the oldest. All are read from indexes, in which only such rows are looked at.
select 'order' as kind, step as place, count(*) as count, extract(epoch from now() - min(created_at))::float8 as oldest
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
select 'payment', status, count(*), extract(epoch from now() - min(since))::float8
from owed_payments
group by status
