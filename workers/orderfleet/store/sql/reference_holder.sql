-- The first order that was recorded with a reference.
select order_id
from order_references
where reference = $1
