-- The order that a payment id belongs to.
select order_id
from payment_ids
where payment_id = $1
