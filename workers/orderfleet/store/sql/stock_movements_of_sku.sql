-- A page of movements of the SKU $3, at the location $4 only if it is not null, newest first, before the id $1, at most $2.
select id, at, sku, location, kind, qty, on_hand, reason, actor, owner, line, key from stock_movements
where sku = $3 and ($4::text is null or location = $4) and id < $1
order by id desc
limit $2
