-- Removes the trail of the oldest orders that ended before $1, at most $2 of them, and what their customers gave.
-- One whose money is not settled is left; one that somebody else has a hand on comes with the next batch.
with chosen as (
    select order_id, events_month from orders
    where completed_at < $1 and pruned_at is null and not exists (
        select from payments
        where payments.payment_id = orders.payment_id and payments.order_id = orders.order_id
            and money_owed(orders.step, payments.status)
    )
    order by completed_at
    limit $2
    for update skip locked
), told as (
    delete from events using chosen where events.order_id = chosen.order_id and events.month = chosen.events_month
), parcels as (
    delete from shipments where order_id in (select order_id from chosen)
)
update orders set
    customer_name          = 'erased',
    customer_email         = '',
    items                  = '[]',
    address                = (select coalesce(jsonb_object_agg(key, '"erased"'::jsonb), '{}') from jsonb_each(address)),
    cancel_reason          = case when cancel_reason is not null then 'erased' end,
    dispatch_failed_reason = case when dispatch_failed_reason is not null then 'erased' end,
    last_error             = case when last_error is not null then 'erased' end,
    erased_at              = coalesce(erased_at, now()),
    pruned_at              = now()
where order_id in (select order_id from chosen)
returning order_id
