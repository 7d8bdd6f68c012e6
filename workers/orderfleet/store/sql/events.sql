-- An order's audit trail after an id, in the order it was recorded. Its month says in which table it is.
select events.id, events.kind, events.step, events.at, events.detail
from orders
join events on events.order_id = orders.order_id and events.month = orders.events_month
where orders.order_id = $1 and events.id > $2
order by events.id
limit $3
