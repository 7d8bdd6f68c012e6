-- A page of levels by SKU and location, after the position ($1, $2), at most $3.
select sku, location, on_hand, reserved, available, active, updated_at from stock_availability
where (sku, location) > ($1, $2)
order by sku, location
limit $3
