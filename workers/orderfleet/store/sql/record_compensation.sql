-- Ends an unfinished order whose workflow is closed. The highest progress number makes every later progress old: an
-- activity that outlived the workflow may still insert its events, but cannot change the order's state.
with unfinished as materialized (
    select order_id from orders where order_id = $1 and completed_at is null for no key update
),

inserted as materialized (
    select order_id, insert_events(order_id, $4::jsonb) from unfinished
)

update orders
set
    step = $2,
    last_error = $3,
    hold = null,
    payment_pending = null,
    completed_at = now(),
    recorded_seq = 9223372036854775807
from inserted
where orders.order_id = inserted.order_id
returning orders.completed_at - orders.created_at as lasted
