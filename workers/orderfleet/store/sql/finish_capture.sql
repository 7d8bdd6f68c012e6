-- Records the provider's answer to a capture, and inserts events; returns the payment.
select finish_capture($1, $2, $3, $4, $5, $6, $7::jsonb)::text as answer
