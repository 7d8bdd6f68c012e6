-- Changes the payment's status, only if it is one of $7 now, and applies the progress; returns the status.
-- Inserts a payment that does not exist yet: a void can come before the charge.
-- No row: the payment id belongs to another order, and nothing was applied.
with payment as (
    insert into payments (payment_id, order_id, status, amount, currency, reference)
    select $1, $2, $3, $4::numeric, $5, $6
    where not exists (select from payment_ids where payment_id = $1 and order_id <> $2)
    on conflict (payment_id) do update
    set
        status = case when payments.status = any($7::text[]) then excluded.status else payments.status end,
        reference = coalesce(payments.reference, excluded.reference),
        updated_at = case when payments.status = any($7::text[]) then now() else payments.updated_at end
    where payments.order_id = excluded.order_id
    returning order_id, status
)

select
    payment.status,
    moved.yes as moved,
    record_progress(payment.order_id, $8::jsonb, moved.yes)
from payment
-- The subselect sees the payment as it was before this statement.
cross join lateral (
    select payment.status is distinct from (select p.status from payments as p where p.payment_id = $1) as yes
) as moved
