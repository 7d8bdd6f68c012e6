-- Removes expired reservations of the levels of the $1 that expired first.
select remove_expired_stock($1) as removed
