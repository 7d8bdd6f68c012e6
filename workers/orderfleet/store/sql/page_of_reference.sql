-- A page of the orders with a reference, newest first, after the cursor ($1, $2), created at $3 or later; at most $4.
-- Few orders have the same reference, so customer $6 and step $7, both optional, filter what the index finds.
-- Compares and sorts by all columns of the index: with an equality, Postgres can choose the index of all orders and
-- filter, which is slow when its estimate of the matching rows is wrong.
select *
from recorded_orders
where (reference, created_at, order_id) < ($5, $1, $2)
and (reference, created_at) >= ($5, $3)
and reference <> ''
and ($6::text is null or lower(customer_email) = lower($6))
and ($7::text is null or step = $7)
order by reference desc, created_at desc, order_id desc
limit $4
