-- The orders changed by transactions that the snapshot $1 did not see, after ($2, $3), at most $4.
-- The first page begins at the snapshot's xmin, which is the only lower bound: with a second one, Postgres can begin at
-- the start of the index.
-- Without changes, one row that has only the present snapshot.
-- payment_unshown: the payment changed after the order's end, and the Order in Kubernetes does not show it yet.
-- The upper bound is the present snapshot: a database that was restored from another server has higher numbers.
select present.snapshot::text as snapshot, changed.*
from (select pg_current_snapshot() as snapshot) as present
left join lateral (
    select
        order_id, workflow_id, run_id, owner, owner_uid, content_hash, version, changed_xid::text as changed_xid,
        step, approved, canceled, cancel_reason, address, dispatch_failed_reason, last_error, retries, declared, hold,
        payment_pending, created_at, updated_at, completed_at, payment_id, payment_status, amount, currency,
        authorized, captured, refunded, shipments, reference,
        exists (select from unshown_payments as u where u.order_id = r.order_id) as payment_unshown
    from recorded_orders as r
    where (r.changed_xid, r.order_id) > ($2::text::xid8, $3)
    and r.changed_xid < pg_snapshot_xmax(present.snapshot)
    and not pg_visible_in_snapshot(r.changed_xid, $1::text::pg_snapshot)
    order by r.changed_xid, r.order_id
    limit $4
) as changed on true
