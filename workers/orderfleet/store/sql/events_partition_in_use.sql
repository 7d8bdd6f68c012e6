-- Whether the partition of month $1 holds events of an order that is not to be pruned: one that has not ended before $2
-- or has a pending payment.
select exists (
    select from events
    join orders using (order_id)
    where
        events.received_month = $1 and pruned_at is null and (
            completed_at is null or completed_at >= $2 or exists (
                select from payments
                where payments.payment_id = orders.payment_id and payments.order_id = orders.order_id
                    and payment_pending(orders.step, payments.status)
            )
        )
)
