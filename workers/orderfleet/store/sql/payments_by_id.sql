-- Several payments in full.
select * from recorded_payments where payment_id = any($1::text[])
