-- Inserts the shipment or updates it, and inserts the missing events. A function, because the order's row has to be
-- locked before the shipment's.
select record_shipment($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb)
