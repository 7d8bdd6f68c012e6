-- The tables that months of events have, and whether each is still a part of the trail.
select to_date(right(relname, 7), 'YYYY_MM') as month, relispartition as attached
from pg_class
where relnamespace = current_schema()::regnamespace and relkind = 'r' and relname ~ '^events_\d{4}_\d{2}$'
order by relname
