-- Inserts or changes the location $1; a null of name $2, priority $3 and active $4 keeps it.
insert into stock_locations as l (location, name, priority, active)
values ($1, coalesce($2, ''), coalesce($3, 100), coalesce($4, true))
on conflict (location) do update set
    name = coalesce($2, l.name), priority = coalesce($3, l.priority), active = coalesce($4, l.active),
    updated_at = clock_timestamp()
returning location, name, priority, active
