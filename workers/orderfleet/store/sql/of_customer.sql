-- The orders of a customer, and whether each has ended, with its money settled: until then something is written.
select order_id, completed_at is not null and not exists (
    select from payments
    where payments.payment_id = orders.payment_id and payments.order_id = orders.order_id
        and money_owed(orders.step, payments.status)
) as ended
from orders
where lower(customer_email) = lower($1) and customer_email <> '' -- as the index has it
order by created_at, order_id
