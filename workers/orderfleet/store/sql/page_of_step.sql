-- A page of the orders at a step, newest first, from the place ($1, $2) on and not older than $3; at most $4.
-- Compared and sorted whole, as the index is: with an equality Postgres may walk the index of all orders instead
-- and leave out what doesn't fit, which is cheap only while its guess of how many do is right.
select *
from recorded_orders
where (step, created_at, order_id) < ($5, $1, $2)
and (step, created_at) >= ($5, $3)
order by step desc, created_at desc, order_id desc
limit $4
