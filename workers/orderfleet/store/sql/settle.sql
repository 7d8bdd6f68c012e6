-- Ends an order in its workflow's place, once. No number of a later progress is new any more: an activity
-- that outlived the workflow may still tell its events, but not move the order.
with unfinished as materialized (
    select order_id from orders where order_id = $1 and completed_at is null for no key update
),

told as (
    insert into events (order_id, key, kind, step, at, detail)
    select
        order_id, $4::jsonb ->> 'key', $4::jsonb ->> 'kind', $4::jsonb ->> 'step',
        ($4::jsonb ->> 'at')::timestamptz, $4::jsonb -> 'detail'
    from unfinished
    on conflict (order_id, key) do nothing
)

update orders
set
    step = $2,
    last_error = $3,
    completed_at = now(),
    recorded_seq = 9223372036854775807
from unfinished
where orders.order_id = unfinished.order_id
returning orders.completed_at - orders.created_at as lasted
