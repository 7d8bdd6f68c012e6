-- A page of levels of the location $1 by SKU, after the SKU $2, at most $3.
select sku, location, on_hand, reserved, available, active, updated_at from stock_availability
where location = $1 and sku > $2
order by sku
limit $3
