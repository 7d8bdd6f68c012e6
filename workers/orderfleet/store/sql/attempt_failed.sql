-- Inserts the event of a failed attempt and, if it was missing, counts the attempt and sets the order's last error.
-- Does nothing for an order that is not recorded yet. An order that has ended keeps its last error, and once no payment
-- is pending its count of retries too: its status is final then.
with locked as materialized (
    select order_id from orders where order_id = $1 for no key update
),

inserted as materialized (
    select order_id, insert_events(order_id, jsonb_build_array($5::jsonb)) as events from locked
)

update orders
set
    last_error = case when completed_at is null then $4 else last_error end,
    retries = case
        when completed_at is not null and not exists (
            select from payments
            where payments.payment_id = orders.payment_id and payments.order_id = orders.order_id
                and payment_pending(orders.step, payments.status)
        )
        then retries
        else retries || jsonb_build_object($2::text, greatest(coalesce((retries ->> $2::text)::integer, 0), $3::integer))
    end
from inserted
where orders.order_id = inserted.order_id and inserted.events > 0
