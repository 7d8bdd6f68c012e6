-- The partitions of events by month, also detached ones.
select to_date(right(relname, 7), 'YYYY_MM') as month, relispartition as attached
from pg_class
where relnamespace = current_schema()::regnamespace and relkind = 'r' and relname ~ '^events_\d{4}_\d{2}$'
order by relname
