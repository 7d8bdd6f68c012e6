-- Unfinished orders by step, and payments whose result is still owed, each with the age of the oldest.
select 'order' as kind, step as place, count(*) as count, extract(epoch from now() - min(created_at))::float8 as oldest
from orders
where step in ('receive', 'validate', 'manual_review', 'charge', 'shipping')
group by step
union all
select 'payment', status, count(*), extract(epoch from now() - min(updated_at))::float8
from payments
where status in ('INIT', 'REFUNDING')
group by status
