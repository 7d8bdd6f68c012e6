-- Of these orders, the ones without an end, and the workflow that each belongs to.
select order_id, workflow_id, first_run_id
from orders
where order_id = any($1::text[]) and completed_at is null
