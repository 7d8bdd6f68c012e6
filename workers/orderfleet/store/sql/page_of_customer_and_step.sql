-- A page of a customer's orders at a step, newest first, after the cursor ($1, $2), created at $3 or later; at most $4.
-- Compares and sorts by all columns of the index: with an equality, Postgres can choose the index of all orders and
-- filter, which is slow when its estimate of the matching rows is wrong.
select *
from recorded_orders
where (step || ' ' || lower(customer_email), created_at, order_id) < ($6 || ' ' || lower($5), $1, $2)
and (step || ' ' || lower(customer_email), created_at) >= ($6 || ' ' || lower($5), $3)
and customer_email <> ''
order by step || ' ' || lower(customer_email) desc, created_at desc, order_id desc
limit $4
