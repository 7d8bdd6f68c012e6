-- Begins the undo of a payment; returns what is to be voided. Null: the payment id belongs to another order.
select fence_payment($1, $2, $3::jsonb)::text as answer
