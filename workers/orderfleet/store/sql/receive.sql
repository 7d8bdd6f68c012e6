-- Inserts the order, or finds it as recorded by the same workflow execution, and applies the progress.
-- `received` is empty if another execution recorded the order: the last part returns that one, and nothing is applied.
-- An order whose payment id belongs to another order is inserted as well, so that its failure can be recorded.
-- The update on conflict waits for another transaction that is inserting the same id.
with received as (
    insert into orders (
        order_id, workflow_id, run_id, first_run_id, owner, owner_uid, content_hash, customer_name, customer_email,
        items, address, payment_id, amount, currency, step, created_at, deadline_at, reference, adjustments
    )
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11::jsonb, $12, $13, $14, $15::jsonb ->> 'step', $16, $17, $18,
        $19::jsonb)
    on conflict (order_id) do update
    set run_id = case
        when orders.recorded_seq < ($15::jsonb ->> 'seq')::bigint then excluded.run_id
        else orders.run_id
    end,
    -- A null version makes the update change nothing; a new progress raises the version.
    version = case when orders.recorded_seq < ($15::jsonb ->> 'seq')::bigint then orders.version end
    where orders.first_run_id = excluded.first_run_id
    returning order_id, owner, first_run_id, payment_id, reference
),

-- A write on conflict here too: of two orders at this moment the second waits, and then finds the first.
claimed as (
    insert into payment_ids (payment_id, order_id)
    select payment_id, order_id from received
    on conflict (payment_id) do update set payment_id = excluded.payment_id
    where payment_ids.order_id = excluded.order_id
    returning payment_id
),

-- The first order with a reference keeps it. A write on conflict returns that order, also one committed at this moment.
referenced as (
    insert into order_references (reference, order_id)
    select reference, order_id from received where reference <> ''
    on conflict (reference) do update set reference = excluded.reference
    returning order_id
)

-- The subselects see the order as it was before this statement.
select
    true as is_ours, owner, first_run_id, record_progress(order_id, $15::jsonb) as changed,
    not exists (select from orders where order_id = $1) as is_new,
    not exists (select from orders where order_id = $1 and completed_at is not null) as was_open,
    exists (select from claimed) as has_payment_id,
    (select order_id from referenced) as reference_holder
from received
union all
select false, owner, first_run_id, false, false, false, false, null
from orders
where order_id = $1 and not exists (select from received)
