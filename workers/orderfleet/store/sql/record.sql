-- Applies a progress; returns whether the order had not ended before, and when it was created.
-- A progress that was drafted while the order was charged can arrive after the charge's own with a higher number. It
-- must not set the step back to `charge`. Only a progress with that step takes the lock, which shows what was
-- committed in between.
with during_charge as materialized (
    select step from orders where order_id = $1 and $2::jsonb ->> 'step' = 'charge' for no key update
),

adjusted as materialized (
    select
        case
            when exists (select from during_charge where step = 'shipping') then $2::jsonb || '{"step": "shipping"}'
            else $2::jsonb
        end as progress
)

select record_progress($1, adjusted.progress) as changed, previous.completed_at is null as was_open, previous.created_at
from adjusted
left join orders as previous on previous.order_id = $1
