-- Prunes the oldest orders that ended before $1 and have no pending payment, at most $2 of them: deletes their events
-- and shipments, and erases personal data; the ledger of money is kept. Orders that another transaction has locked are left
-- for the next batch.
-- Payments are locked before orders, as writers do.
with due as materialized (
    select order_id, payment_id from orders
    where completed_at < $1 and pruned_at is null and not exists (
        select from payments
        where payments.payment_id = orders.payment_id and payments.order_id = orders.order_id
            and payment_pending(orders.step, payments.status)
    )
    order by completed_at
    limit $2
), locked as materialized (
    select p.payment_id
    from due
    join payments as p on p.payment_id = due.payment_id and p.order_id = due.order_id
    order by p.payment_id
    for no key update of p
), chosen as (
    select order_id, payment_id, received_month from orders
    where order_id in (select order_id from due) and pruned_at is null and (select count(*) from locked) >= 0
    for no key update skip locked
), deleted_events as (
    delete from events using chosen
    where events.order_id = chosen.order_id and events.received_month = chosen.received_month
), deleted_shipments as (
    delete from shipments where order_id in (select order_id from chosen)
)
update orders set
    customer_name          = 'erased',
    customer_email         = '',
    items                  = '[]',
    adjustments            = '[]',
    address                = (select coalesce(jsonb_object_agg(key, '"erased"'::jsonb), '{}') from jsonb_each(address)),
    cancel_reason          = case when cancel_reason is not null then 'erased' end,
    dispatch_failed_reason = case when dispatch_failed_reason is not null then 'erased' end,
    last_error             = case when last_error is not null then 'erased' end,
    erased_at              = coalesce(erased_at, now()),
    pruned_at              = now()
from chosen, erase_payment(chosen.payment_id, chosen.order_id)
where orders.order_id = chosen.order_id
returning orders.order_id
