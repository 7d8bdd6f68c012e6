-- A page of all orders, newest first, after the cursor ($1, $2), created at $3 or later; at most $4.
select *
from recorded_orders
where (created_at, order_id) < ($1, $2)
and created_at >= $3
order by created_at desc, order_id desc
limit $4
