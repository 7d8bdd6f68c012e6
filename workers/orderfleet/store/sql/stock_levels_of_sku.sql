-- A page of levels of the SKU $1 by location, after the location $2, at most $3; at the location $4 only if it is not null.
select sku, location, on_hand, reserved, available, active, updated_at from stock_availability
where sku = $1 and location > $2 and ($4::text is null or location = $4)
order by location
limit $3
