-- An order's audit trail after an id, in the order it was recorded.
select id, kind, step, at, detail
from events
where order_id = $1 and id > $2
order by id
limit $3
