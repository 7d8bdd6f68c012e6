-- Of these orders, the ones without an end, with what their compensation needs.
select
    o.order_id, o.payment_id, o.amount, o.currency,
    coalesce((select max(s.attempt) from shipments as s where s.order_id = o.order_id), 0) as shipments
from orders as o
where o.order_id = any($1::text[]) and o.completed_at is null
