-- A page of the payments in full, newest order first, after the cursor ($1, $2), of orders that were created at $3 or
-- later; at most $4. Status $5 and currency $6, both optional, filter what the index of orders by time finds.
select p.*
from orders as o
join recorded_payments as p on p.order_id = o.order_id and p.payment_id = o.payment_id
where (o.created_at, o.order_id) < ($1, $2)
and o.created_at >= $3
and ($5::text is null or p.status = $5)
and ($6::text is null or p.currency = $6)
order by o.created_at desc, o.order_id desc
limit $4
