-- The locations, in the order in which they are used.
select location, name, priority, active from stock_locations order by priority, location
