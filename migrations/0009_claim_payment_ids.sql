-- A payment id belongs to one order, from its receipt on. A table of its own: an index of orders would be written at
-- each step of an order, and a row of payments says that the charge has begun.

create table payment_ids (
    payment_id  text primary key,
    order_id    text not null references orders
);

-- Of orders that share one, the id belongs to the order that has begun its charge, else to the oldest.
insert into payment_ids (payment_id, order_id)
select distinct on (o.payment_id) o.payment_id, o.order_id
from orders o
left join payments p on p.payment_id = o.payment_id
where p.order_id is null or p.order_id = o.order_id
order by o.payment_id, o.created_at, o.order_id;

-- The roles that can insert payments can claim their ids.
do $$
declare
    given record;
begin
    for given in
        select distinct coalesce(nullif(acl.grantee, 0)::regrole::text, 'public') as role
        from pg_class as kept, aclexplode(kept.relacl) as acl
        where kept.oid = 'payments'::regclass and acl.privilege_type = 'INSERT' and acl.grantee <> kept.relowner
    loop
        execute format('grant select, insert, update on payment_ids to %s', given.role);
    end loop;
end;
$$;
