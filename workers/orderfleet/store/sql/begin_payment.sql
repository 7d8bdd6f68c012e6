-- Inserts the payment as INIT unless it exists, applies the progress, returns the payment.
-- No row: the payment id belongs to another order, and nothing was applied.
-- The update on conflict changes nothing: it waits for another transaction that is inserting the same id.
with payment as (
    insert into payments (payment_id, order_id, status, amount, currency)
    values ($1, $2, 'INIT', $3, $4)
    on conflict (payment_id) do update set payment_id = excluded.payment_id
    where payments.order_id = excluded.order_id
    returning payment_id, order_id, status, reference
)

select
    payment_id, order_id, status, reference,
    record_progress(order_id, $5::jsonb, not exists(select from payments where payment_id = $1))
from payment
