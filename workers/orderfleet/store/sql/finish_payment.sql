-- Records the result of a charge, an authorization or a void, and applies the progress; returns the payment.
-- Null: the payment id belongs to another order, and nothing was applied.
select finish_payment($1, $2, $3::jsonb, $4::jsonb)::text as answer
