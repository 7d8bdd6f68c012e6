-- The orders of a customer, and whether each can be erased: it has ended and has no pending payment.
select order_id, completed_at is not null and not exists (
    select from payments
    where payments.payment_id = orders.payment_id and payments.order_id = orders.order_id
        and payment_pending(orders.step, payments.status)
) as ended
from orders
where lower(customer_email) = lower($1) and customer_email <> '' -- the predicate of orders_by_customer
order by created_at, order_id
