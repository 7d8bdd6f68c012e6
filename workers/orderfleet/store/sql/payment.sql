-- A payment in full.
select * from recorded_payments where payment_id = $1
