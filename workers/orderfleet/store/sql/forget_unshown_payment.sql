-- Forgets that the payment of an order is to be shown, unless it changed after version $2. If no Order shows it ($3), the
-- order may belong to another cluster, whose operator has 7 days.
delete from unshown_payments
where order_id = $1 and version <= $2 and (not $3 or since < now() - interval '7 days')
