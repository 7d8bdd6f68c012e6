-- Adds the event and, when it was missing, counts the attempt and sets the error.
-- An order that is not recorded yet has nowhere to be told; one that has ended keeps its last word, and its count
-- too once nothing is owed: its readers were told that nothing of it will change.
with locked as materialized (
    select order_id from orders where order_id = $1 for no key update
),

told as materialized (
    select order_id, tell_events(order_id, jsonb_build_array($5::jsonb)) as added from locked
)

update orders
set
    last_error = case when completed_at is null then $4 else last_error end,
    retries = case
        when completed_at is not null and not exists (
            select from payments
            where payments.payment_id = orders.payment_id and payments.order_id = orders.order_id
                and money_owed(orders.step, payments.status)
        )
        then retries
        else retries || jsonb_build_object($2::text, greatest(coalesce((retries ->> $2::text)::integer, 0), $3::integer))
    end
from told
where orders.order_id = told.order_id and told.added > 0
