-- The items and adjustments of the order $1, and the step of its payment's amounts. A pruned order has neither.
select o.items, o.adjustments, coalesce(p.amount_step, 1) as step, o.pruned_at is not null as is_pruned
from orders as o
left join payments as p on p.payment_id = o.payment_id and p.order_id = o.order_id
where o.order_id = $1
