-- A page of all orders, newest first, from the place ($1, $2) on and not older than $3; at most $4.
select *
from recorded_orders
where (created_at, order_id) < ($1, $2)
and created_at >= $3
order by created_at desc, order_id desc
limit $4
