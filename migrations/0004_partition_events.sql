-- Events: append-only, in one partition per month. A write searches the events of one month only, and `orderfleet
-- prune` drops old events as whole tables.

-- Append-only.

-- Only `orderfleet erase` and `prune`, which set orderfleet.erasing, and the functions below change events. The
-- setting alone is not enough: the runtime role has no right to update or delete events.
create function reject_change() returns trigger language plpgsql as $$
begin
    if tg_op <> 'TRUNCATE' and current_setting('orderfleet.erasing', true) = 'on' then
        return null;
    end if;
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end;
$$;

-- A statement-level trigger fires only for the table that the statement names, so each partition has its own.
create function make_append_only(table_name text) returns void language plpgsql as $$
begin
    execute format(
        'create trigger events_append_only before update or delete or truncate on %I'
        ' for each statement execute function reject_change()', table_name
    );
end;
$$;

select make_append_only('events');

-- Default partition.

-- Holds the events of months that have no partition of their own.
create table events_default partition of events default;
alter table events_default replica identity using index events_default_order_id_key_received_month_key;
select make_append_only('events_default');

-- Partitions.
-- Each function locks orders before events, as writers do, and at once in the mode it needs. Without that, attaching,
-- detaching and dropping lock orders last, because they change a foreign key to it: they would deadlock with a writer
-- that has locked its order and waits for its events.

-- Creates the partition of a month and moves the month's events there from the default partition. Does nothing if the
-- month has one.
create function create_events_partition(of_month date) returns void language plpgsql as $$
declare
    name text := to_char(of_month, '"events_"YYYY_MM');
begin
    if to_regclass(name) is not null then
        return;
    end if;
    lock table orders in share row exclusive mode;
    lock table events in share update exclusive mode;
    if to_regclass(name) is not null then -- another session has created it while this one waited
        return;
    end if;
    execute format('create table %I (like events including all)', name);
    execute format('alter table %I replica identity using index %I', name, name || '_order_id_key_received_month_key');
    perform set_config('orderfleet.erasing', 'on', true);
    execute format(
        'with moved as (delete from events_default where received_month = %L returning *)'
        ' insert into %I select * from moved', of_month, name
    );
    execute format(
        'alter table events attach partition %I for values from (%L) to (%L)', name, of_month, of_month + interval '1 month'
    );
    perform make_append_only(name);
end;
$$;

-- Detaches the partition of a month: its events are not read or written any more.
create function detach_events_partition(of_month date) returns void language plpgsql as $$
begin
    lock table orders in share row exclusive mode;
    execute format('alter table events detach partition %I', to_char(of_month, '"events_"YYYY_MM'));
end;
$$;

-- Drops a detached partition. Events of orders that are not pruned are first inserted into events again.
create function drop_events_partition(of_month date) returns void language plpgsql as $$
declare
    name text := to_char(of_month, '"events_"YYYY_MM');
begin
    lock table orders in access exclusive mode;
    execute format(
        'insert into events select detached.* from %I as detached join orders using (order_id) where pruned_at is null'
        ' on conflict (order_id, key, received_month) do nothing', name
    );
    execute format('drop table %I', name);
end;
$$;
