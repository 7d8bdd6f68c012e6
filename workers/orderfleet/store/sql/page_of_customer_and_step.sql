-- A page of a customer's orders at a step, newest first, from the place ($1, $2) on and not older than $3; at most $4.
-- Compared and sorted whole, as the index is: with an equality Postgres may walk the index of all orders instead
-- and leave out what doesn't fit, which is cheap only while its guess of how many do is right.
select *
from recorded_orders
where (step || ' ' || lower(customer_email), created_at, order_id) < ($6 || ' ' || lower($5), $1, $2)
and (step || ' ' || lower(customer_email), created_at) >= ($6 || ' ' || lower($5), $3)
and customer_email <> ''
order by step || ' ' || lower(customer_email) desc, created_at desc, order_id desc
limit $4
