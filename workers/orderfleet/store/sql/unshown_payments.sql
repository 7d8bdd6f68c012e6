-- Orders whose payment changed after their end and that Kubernetes may not show, by their Orders.
select u.order_id, o.owner
from unshown_payments as u
join orders as o on o.order_id = u.order_id
order by u.order_id
