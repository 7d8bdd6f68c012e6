-- The items and adjustments of the order $1. A pruned order has none.
select items, adjustments from orders where order_id = $1
