-- Returns the pieces $3 of the owner $1 to stock under the key $2, for the reason $4, by the actor $5.
select restock_stock($1, $2, $3, $4, $5) as answer
