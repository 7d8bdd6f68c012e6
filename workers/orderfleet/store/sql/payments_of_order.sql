-- The payments of an order in full, oldest first.
select * from recorded_payments where order_id = $1 order by created_at, payment_id
