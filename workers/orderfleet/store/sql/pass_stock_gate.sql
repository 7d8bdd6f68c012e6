-- Marks the reservations $2 of the owner $1 as past their gate, or before it again, by $3.
select pass_stock_gate($1, $2, $3) as passed
