-- Orders without an end in the order of their ids: a page costs the same wherever it begins, as orders that are not
-- due are read and counted too.
select order_id, workflow_id, first_run_id, updated_at <= now() - $3::interval as is_due
from orders
where completed_at is null and order_id > $1
order by order_id
limit $2
