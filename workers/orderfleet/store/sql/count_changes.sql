-- How many orders `changes` has not returned yet after ($2, $3), at most 100,000.
select count(*) as rows
from (
    select
    from orders as o
    where (o.changed_xid, o.order_id) > ($2::text::xid8, $3)
    and not pg_visible_in_snapshot(o.changed_xid, $1::text::pg_snapshot)
    limit 100000
) as remaining
