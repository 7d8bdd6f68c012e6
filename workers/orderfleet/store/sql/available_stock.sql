-- What the owner $2 can have of the SKUs $1 at active locations: what is available, and what it has reserved.
select a.sku, a.location, a.priority, a.available + coalesce((
    select sum(r.qty - r.committed) from stock_reservations as r
    where r.owner = $2 and r.sku = a.sku and r.location = a.location
        and (r.state = 'confirmed' or r.expires_at > statement_timestamp())
), 0)::bigint as available
from stock_availability as a
where a.sku = any($1::text[]) and a.active
order by a.sku, a.priority, a.location
