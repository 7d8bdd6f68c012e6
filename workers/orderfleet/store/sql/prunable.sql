select count(*) from orders
where completed_at < $1 and pruned_at is null and not exists (
    select from payments
    where payments.order_id = orders.order_id
        and (status in ('INIT', 'REFUNDING') or status = 'CHARGED' and orders.step in ('canceled', 'failed'))
)
