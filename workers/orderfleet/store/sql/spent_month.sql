-- Whether no order needs the events of a month any more: those that ended before a time, with their money settled,
-- are to be pruned or have been.
select not exists (
    select from events
    join orders using (order_id)
    where
        month = $1 and pruned_at is null and (
            completed_at is null or completed_at >= $2 or exists (
                select from payments
                where payments.payment_id = orders.payment_id and payments.order_id = orders.order_id
                    and money_owed(orders.step, payments.status)
            )
        )
)
