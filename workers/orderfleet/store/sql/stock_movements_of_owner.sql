-- A page of movements of the owner $3, of the SKU $4 and at the location $5 only if they are not null, newest first, before
-- the id $1, at most $2.
select id, at, sku, location, kind, qty, on_hand, reason, actor, owner, line, key from stock_movements
where owner = $3 and owner <> '' and ($4::text is null or sku = $4) and ($5::text is null or location = $5) and id < $1
order by id desc
limit $2
