-- What is authorized and neither captured nor released, authorized from the day $1 to the day $2 (UTC), by day and currency.
select * from open_authorizations_by_day
where ($1::date is null or day >= $1) and ($2::date is null or day <= $2)
order by day, currency
