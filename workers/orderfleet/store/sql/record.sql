-- Applies a progress; tells whether the order was still open before it, and since when it runs.
-- One that was drafted while the order was charged may come after the charge's own, and have the higher number:
-- it must not take the order back. Only such a one pays for the lock, which shows what was committed meanwhile.
with during_the_charge as materialized (
    select step from orders where order_id = $1 and $2::jsonb ->> 'step' = 'charge' for no key update
),

told as materialized (
    select
        case
            when exists (select from during_the_charge where step = 'shipping') then $2::jsonb || '{"step": "shipping"}'
            else $2::jsonb
        end as progress
)

select record_progress($1, told.progress) as changed, was.completed_at is null as was_open, was.created_at
from told
left join orders as was on was.order_id = $1
