-- A page of movements, at the location $3 only if it is not null, newest first, before the id $1, at most $2.
select id, at, sku, location, kind, qty, on_hand, reason, actor, owner, line, key from stock_movements
where ($3::text is null or location = $3) and id < $1
order by id desc
limit $2
