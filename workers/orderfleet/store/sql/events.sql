-- An order's events after an id, in the order in which they were recorded. The month selects the partition.
select events.id, events.kind, events.step, events.at, events.detail
from orders
join events on events.order_id = orders.order_id and events.received_month = orders.received_month
where orders.order_id = $1 and events.id > $2
order by events.id
limit $3
