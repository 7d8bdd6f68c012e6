-- Records a fact of the provider or a reconciliation, and inserts events; returns the payment. Null: there is none.
select record_payment_fact($1, $2::jsonb, $3::jsonb)::text as answer
