-- Orders listed newest first, by step, by customer and by time: an index for each question, so that a page
-- costs the same however many orders there are. Time is the order of all of them, so a bound needs no index more.

create index orders_newest on orders (created_at, order_id);
create index orders_of_step on orders (step, created_at, order_id);

-- Two for the customer: one who ordered very often would make a page of one step a long walk otherwise. Step and
-- customer are one key, so that no other index looks as good to Postgres.
-- Orders without an e-mail address cost nothing here.
create index orders_of_customer on orders (lower(customer_email), created_at, order_id) where customer_email <> '';
create index orders_of_customer_and_step on orders ((step || ' ' || lower(customer_email)), created_at, order_id)
    where customer_email <> '';

-- The same view as before with who ordered, which the listing filters by.
create or replace view recorded_orders as
select
    o.order_id, o.workflow_id, o.run_id, o.owner, o.owner_uid, o.content_hash, o.version, o.changed_xid,
    o.step, o.approved, o.canceled, o.cancel_reason, o.address, o.dispatch_failed_reason, o.last_error,
    o.retries, o.declared, o.created_at, o.updated_at, o.completed_at,
    o.payment_id, p.status as payment_status, o.amount, o.currency,
    s.shipments,
    o.customer_email
from orders o
left join payments p on p.payment_id = o.payment_id and p.order_id = o.order_id
cross join lateral (
    select coalesce(jsonb_agg(jsonb_build_object(
        'id', shipment_id,
        'status', status,
        'carrier', carrier,
        'tracking_number', tracking_number,
        'attempts', attempts,
        'dispatch_failed_reason', dispatch_failed_reason
    ) order by attempt), '[]') as shipments
    from shipments
    where shipments.order_id = o.order_id
) s;
