-- Replaces what a customer gave in orders that have ended, and free text in their events, which may repeat it.
-- The e-mail address becomes empty, so that no list finds the order by it.
with chosen as (
    select order_id, events_month from orders
    where order_id = any($1::text[]) and completed_at is not null and erased_at is null
    order by order_id
    for update
), told as (
    update events
    set detail = (
        select coalesce(jsonb_object_agg(key, case when key = any($2::text[]) then value else '"erased"' end), '{}')
        from jsonb_each(detail)
    )
    from chosen
    where events.order_id = chosen.order_id and events.month = chosen.events_month
), parcels as (
    update shipments
    set dispatch_failed_reason = 'erased'
    where order_id in (select order_id from chosen) and dispatch_failed_reason is not null
)
update orders set
    customer_name          = 'erased',
    customer_email         = '',
    address                = (select coalesce(jsonb_object_agg(key, '"erased"'::jsonb), '{}') from jsonb_each(address)),
    content_hash           = 'erased', -- a hash of an address can be guessed
    cancel_reason          = case when cancel_reason is not null then 'erased' end,
    dispatch_failed_reason = case when dispatch_failed_reason is not null then 'erased' end,
    last_error             = case when last_error is not null then 'erased' end,
    erased_at              = now()
where order_id in (select order_id from chosen)
returning order_id
