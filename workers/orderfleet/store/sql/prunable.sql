select count(*) from orders
where completed_at < $1 and pruned_at is null and not exists (
    select from payments
    where payments.payment_id = orders.payment_id and payments.order_id = orders.order_id
        and money_owed(orders.step, payments.status)
)
