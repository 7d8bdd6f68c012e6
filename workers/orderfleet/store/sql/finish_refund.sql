-- Records the provider's answer to a part of a refund, and inserts events; returns the payment.
select finish_refund($1, $2, $3, $4, $5, $6::jsonb)::text as answer
