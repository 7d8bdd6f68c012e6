-- Changes what is on hand of the SKU $1 at the location $2 by $3, for the reason $4, by the actor $5, under the key $6.
select adjust_stock($1, $2, $3, $4, $5, $6) as answer
