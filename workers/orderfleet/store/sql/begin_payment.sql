-- Inserts the payment as INIT unless it exists, applies the progress, returns the payment.
-- No row: the payment id belongs to another order, and nothing was applied.
-- The update on conflict changes nothing: it waits for another transaction that is inserting the same id.
with payment as (
    insert into payments as p (payment_id, order_id, amount, currency, capture, method, amount_step)
    select $1, $2, $3::numeric, $4, $6, $7, $8
    where not exists (select from payment_ids where payment_id = $1 and order_id <> $2)
    on conflict (payment_id) do update set payment_id = excluded.payment_id
    where p.order_id = excluded.order_id
    -- A row that was there is locked by this statement, which is its xmax; an inserted one has none.
    returning payment_id, order_id, status, reference, fenced_at is not null as fenced, xmax = 0 as is_new
)

select payment_id, order_id, status, reference, fenced, is_new, record_progress(order_id, $5::jsonb, is_new)
from payment
