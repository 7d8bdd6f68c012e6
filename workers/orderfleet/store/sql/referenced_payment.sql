-- The charge or authorization with a provider's id that was stored before money moved.
select r.payment_id, r.number, p.order_id, p.pending is not null as pending
from payment_references as r
join payments as p using (payment_id)
where r.reference = $1
