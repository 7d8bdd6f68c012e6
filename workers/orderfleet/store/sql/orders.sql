-- The orders of these ids, as readers see them.
select
    order_id, workflow_id, run_id, owner, owner_uid, content_hash, version, step, approved, canceled, cancel_reason,
    address, dispatch_failed_reason, last_error, retries, declared, hold, payment_pending,
    created_at, updated_at, completed_at, payment_id, payment_status, amount, currency, authorized, captured, refunded,
    shipments, reference
from recorded_orders
where order_id = any($1::text[])
