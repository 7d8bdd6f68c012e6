-- Inserts the shipment, or moves it on from the statuses in $9 only, and adds the events that are missing.
-- What a late write knows better than the row (tracking number, attempts) is filled in; nothing is taken back.
with given as (
    select
        $1::text as shipment_id,
        $2::text as order_id,
        $3::integer as attempt,
        $4::text as status,
        $5::text as carrier,
        $6::text as tracking_number,
        $7::integer as attempts,
        $8::text as dispatch_failed_reason
),

written as (
    insert into shipments as s (
        shipment_id, order_id, attempt, status, carrier, tracking_number, attempts, dispatch_failed_reason
    )
    select * from given
    on conflict (shipment_id) do update
    set
        status = case when s.status = any($9::text[]) then excluded.status else s.status end,
        carrier = coalesce(s.carrier, excluded.carrier),
        tracking_number = coalesce(s.tracking_number, excluded.tracking_number),
        attempts = greatest(s.attempts, excluded.attempts),
        dispatch_failed_reason = case
            when s.status = any($9::text[]) then excluded.dispatch_failed_reason
            else s.dispatch_failed_reason
        end,
        updated_at = now()
    where s.status = any($9::text[])
    or (s.carrier is null and excluded.carrier is not null)
    or (s.tracking_number is null and excluded.tracking_number is not null)
    or s.attempts < excluded.attempts
    returning s.shipment_id
)

select record_progress(order_id, $10::jsonb, exists(select from written))
from given
