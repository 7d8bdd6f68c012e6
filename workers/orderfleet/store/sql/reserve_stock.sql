-- Makes the reservations of several owners what the requests $1 declare; see the function.
select reserve_stock($1) as answer
