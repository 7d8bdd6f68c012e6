-- Views: an order with its payment and shipments, and all pending payments.

-- An order as readers see it. Amounts are in minor units; the shipments are one JSON array.
create view recorded_orders as
select
    o.order_id, o.workflow_id, o.run_id, o.owner, o.owner_uid, o.content_hash, o.version, o.changed_xid,
    o.step, o.approved, o.canceled, o.cancel_reason, o.address, o.dispatch_failed_reason, o.last_error,
    o.retries, o.declared, o.created_at, o.updated_at, o.completed_at,
    o.payment_id, p.status as payment_status, o.amount, o.currency,
    s.shipments,
    o.customer_email, o.reference, o.hold, o.payment_pending,
    -- What is authorized or captured, without what was released; null without a payment.
    p.authorized - p.released as authorized, p.captured, p.refunded
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

-- All payments with a charge, an authorization, a refund or a void that is pending. `is_undone`: the payment is to be voided
-- or refunded. Each half reads a partial index of pending rows only.
create view pending_payments as
select
    payment_id, order_id, status, amount, currency, greatest(updated_at, fenced_at) as since,
    fenced_at is not null as is_undone
from payments
where status in ('INIT', 'PENDING', 'REFUNDING') -- the predicate of payments_pending
union all
select p.payment_id, o.order_id, p.status, p.amount, p.currency, greatest(p.updated_at, o.completed_at), true
from orders o
join payments p on p.payment_id = o.payment_id and p.order_id = o.order_id
where o.refund_pending and p.status not in ('INIT', 'PENDING', 'REFUNDING') and payment_pending(o.step, p.status);
