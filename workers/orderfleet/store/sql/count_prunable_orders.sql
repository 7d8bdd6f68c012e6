-- How many orders `prune_orders` would prune: those that ended before $1 and have no pending payment.
select count(*) from orders
where completed_at < $1 and pruned_at is null and not exists (
    select from payments
    where payments.payment_id = orders.payment_id and payments.order_id = orders.order_id
        and payment_pending(orders.step, payments.status)
)
