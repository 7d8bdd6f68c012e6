-- Stores the intent of a refund under its guard, and inserts events if it is accepted; returns the decision.
select begin_refund($1, $2, $3, $4::jsonb, $5, $6, $7::jsonb)::text as answer
