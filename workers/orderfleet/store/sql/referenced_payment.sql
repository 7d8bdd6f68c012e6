-- The charge or authorization with a provider's id that was stored before money moved.
select r.payment_id, r.number, p.order_id
from payment_references as r
join payments as p using (payment_id)
where r.reference = $1
