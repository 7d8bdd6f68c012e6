-- Applies a progress; tells whether the order was still open before it, and since when it runs.
select record_progress($1, $2::jsonb) as changed, was.completed_at is null as was_open, was.created_at
from (values (1)) as once (number)
left join orders as was on was.order_id = $1
