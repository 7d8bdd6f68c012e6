-- Ends an order in its workflow's place, once. No number of a later progress is new any more: an activity
-- that outlived the workflow may still add its events, but not move the order.
with unfinished as materialized (
    select order_id from orders where order_id = $1 and completed_at is null for no key update
),

told as materialized (
    select order_id, tell_events(order_id, $4::jsonb) from unfinished
)

update orders
set
    step = $2,
    last_error = $3,
    completed_at = now(),
    recorded_seq = 9223372036854775807
from told
where orders.order_id = told.order_id
returning orders.completed_at - orders.created_at as lasted
