-- Those of the orders that have not ended, with their payment and the number of their shipments.
select
    o.order_id, o.payment_id, o.amount, o.currency,
    coalesce((select max(s.attempt) from shipments as s where s.order_id = o.order_id), 0) as shipments
from orders as o
where o.order_id = any($1::text[]) and o.completed_at is null
