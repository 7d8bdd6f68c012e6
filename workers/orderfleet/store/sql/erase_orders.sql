-- Erases personal data from those of the orders that have ended: the customer, the address, and free text, which can
-- repeat them. The keys in $2 of an event's detail are kept.
-- The e-mail address becomes empty, so that no list finds the order by it.
-- Payments are locked before orders, as writers do.
with locked as materialized (
    select p.payment_id
    from orders as o
    join payments as p on p.payment_id = o.payment_id and p.order_id = o.order_id
    where o.order_id = any($1::text[])
    order by p.payment_id
    for no key update of p
), chosen as (
    select order_id, payment_id, received_month from orders
    where order_id = any($1::text[]) and completed_at is not null and erased_at is null
        and (select count(*) from locked) >= 0
    order by order_id
    for no key update
), erased_events as (
    update events
    set detail = (
        select coalesce(jsonb_object_agg(key, case when key = any($2::text[]) then value else '"erased"' end), '{}')
        from jsonb_each(detail)
    )
    from chosen
    where events.order_id = chosen.order_id and events.received_month = chosen.received_month
), erased_shipments as (
    update shipments
    set dispatch_failed_reason = 'erased'
    where order_id in (select order_id from chosen) and dispatch_failed_reason is not null
)
update orders set
    customer_name          = 'erased',
    customer_email         = '',
    address                = (select coalesce(jsonb_object_agg(key, '"erased"'::jsonb), '{}') from jsonb_each(address)),
    adjustments            = (select coalesce(jsonb_agg(each - 'description' order by number), '[]')
        from jsonb_array_elements(adjustments) with ordinality as given (each, number)),
    content_hash           = 'erased', -- an address can be guessed from its hash
    cancel_reason          = case when cancel_reason is not null then 'erased' end,
    dispatch_failed_reason = case when dispatch_failed_reason is not null then 'erased' end,
    last_error             = case when last_error is not null then 'erased' end,
    erased_at              = now()
from chosen, erase_payment(chosen.payment_id, chosen.order_id)
where orders.order_id = chosen.order_id
returning orders.order_id
