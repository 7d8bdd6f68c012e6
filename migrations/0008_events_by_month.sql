-- oldest: 0007
-- Events are kept by the month in which their order was received, so that old ones go as whole tables, and a write
-- searches the events of a month and not those of all time. An order's events are all in one of these tables, which
-- is what keeps a key of one order unique. Writers wait while this runs: it builds an index of all events.

-- The same for all orders that were received before there were months.
alter table orders add column events_month date not null default '-infinity';

create sequence event_ids;
select setval('event_ids', last_value, is_called) from events_id_seq;

alter table events rename to events_before_months;
alter table events_before_months rename constraint events_order_id_fkey to events_before_months_order_id_fkey;
alter table events_before_months alter column id drop identity;
alter table events_before_months add column month date not null default '-infinity';
alter table events_before_months alter column month drop default;
alter table events_before_months add unique (order_id, key, month);
alter table events_before_months replica identity using index events_before_months_order_id_key_month_key;
alter table events_before_months drop constraint events_order_id_key_key;

-- Ids of one order rise in the order of commit, because its row is locked before an event is added;
-- so a reader that goes on after the last id it saw misses none.
create table events (
    order_id  text        not null references orders,
    id        bigint      not null default nextval('event_ids'),
    key       text        not null,
    kind      text        not null,
    step      text        not null,
    at        timestamptz not null,
    detail    jsonb       not null default '{}',
    month     date        not null,
    unique (order_id, key, month)
) partition by range (month);
alter sequence event_ids owned by events.id;
alter table events attach partition events_before_months for values from (minvalue) to ('0001-01-01');

-- A statement to one of the tables doesn't fire what stands at the whole, nor the other way round.
create function keep_as_told(kept text) returns void language plpgsql as $$
begin
    execute format(
        'create trigger events_append_only before update or delete or truncate on %I'
        ' for each statement execute function refuse_change()', kept
    );
end;
$$;
select keep_as_told('events');

-- Who could read or write events still can.
do $$
declare
    given record;
begin
    for given in
        select coalesce(nullif(acl.grantee, 0)::regrole::text, 'public') as role, acl.privilege_type as privilege
        from pg_class as kept, aclexplode(kept.relacl) as acl
        where kept.oid = 'events_before_months'::regclass and acl.privilege_type in ('SELECT', 'INSERT')
    loop
        execute format('grant %s on events to %s', given.privilege, given.role);
        if given.privilege = 'INSERT' then
            execute format('grant usage on sequence event_ids to %s', given.role);
        end if;
    end loop;
end;
$$;

-- Gives a month a table of its own; does nothing if it has one. Its events that were told before are moved there.
create function add_event_month(of_month date) returns void language plpgsql as $$
declare
    name text := to_char(of_month, '"events_"YYYY_MM');
begin
    lock table events in share update exclusive mode; -- one at a time; writers go on
    if to_regclass(name) is not null then
        return;
    end if;
    execute format('create table %I (like events including all)', name);
    execute format('alter table %I replica identity using index %I', name, name || '_order_id_key_month_key');
    perform set_config('orderfleet.erasing', 'on', true);
    execute format(
        'with others as (delete from events_without_month where month = %L returning *) insert into %I select * from others',
        of_month, name
    );
    execute format(
        'alter table events attach partition %I for values from (%L) to (%L)', name, of_month, of_month + interval '1 month'
    );
    perform keep_as_told(name);
end;
$$;

-- Takes a month's table out of the trail, whole; nobody reads or writes it then.
create function detach_event_month(of_month date) returns void language plpgsql as $$
begin
    execute format('alter table events detach partition %I', to_char(of_month, '"events_"YYYY_MM'));
end;
$$;

-- Drops a table that was taken out. Events in it of orders that are not pruned go back into the trail first.
create function drop_event_month(of_month date) returns void language plpgsql as $$
declare
    name text := to_char(of_month, '"events_"YYYY_MM');
begin
    execute format(
        'insert into events select kept.* from %I as kept join orders using (order_id) where pruned_at is null'
        ' on conflict (order_id, key, month) do nothing', name
    );
    execute format('drop table %I', name);
end;
$$;

-- Where the events of a month go that has no table.
create table events_without_month partition of events default;
alter table events_without_month replica identity using index events_without_month_order_id_key_month_key;
select keep_as_told('events_without_month');

-- As before, and an order's month is that of its reception, for ever.
create or replace function order_changed() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.version is null then
        return old;
    end if;
    if tg_op = 'INSERT' then
        new.version := 1;
        new.events_month := date_trunc('month', new.created_at at time zone 'utc');
    else
        new.version := old.version + 1;
    end if;
    new.changed_xid := pg_current_xact_id();
    new.updated_at := now();
    new.owes := false;
    if money_owed(new.step, 'CHARGED') then
        new.owes := exists (
            select from payments
            where payment_id = new.payment_id and order_id = new.order_id and money_owed(new.step, status)
        );
    end if;
    perform pg_notify('orderfleet_orders', '');
    return new;
end;
$$;

-- As before, but the caller knows the order's month.
create function tell_events(of_order text, of_month date, told jsonb) returns bigint language plpgsql as $$
declare
    added bigint;
begin
    insert into events (order_id, key, kind, step, at, detail, month)
    select
        of_order, line ->> 'key', line ->> 'kind', line ->> 'step', (line ->> 'at')::timestamptz, line -> 'detail', of_month
    from jsonb_array_elements(told) with ordinality as told_line (line, number)
    order by number
    on conflict (order_id, key, month) do nothing;
    get diagnostics added = row_count;
    return added;
end;
$$;

create or replace function tell_events(of_order text, told jsonb) returns bigint language sql as $$
    select tell_events(of_order, events_month, told) from orders where order_id = of_order;
$$;

-- As before.
create or replace function record_progress(of_order text, progress jsonb, changed boolean default false) returns boolean
language plpgsql as $$
declare
    given    bigint := (progress ->> 'seq')::bigint;
    is_new   boolean := false;
    place    tid;
    of_month date;
    added    bigint;
begin
    if given > 0 then -- events alone have none
        update orders set
            recorded_seq           = given,
            step                   = progress ->> 'step',
            approved               = (progress ->> 'approved')::boolean,
            canceled               = (progress ->> 'canceled')::boolean,
            cancel_reason          = progress ->> 'cancel_reason',
            dispatch_failed_reason = progress ->> 'dispatch_failed_reason',
            last_error             = coalesce(progress ->> 'last_error', last_error), -- the last one stays told
            address                = coalesce(nullif(progress -> 'address', 'null'), address),
            retries                = retries || (progress -> 'retries'),
            declared               = progress -> 'declared',
            completed_at           = (progress ->> 'completed_at')::timestamptz
        where order_id = of_order and recorded_seq < given
        returning events_month into of_month;
        is_new := found;
    end if;

    if not is_new then
        select ctid, events_month into place, of_month from orders where order_id = of_order for no key update;
        if not found then
            raise exception 'order % is not recorded', of_order using errcode = 'no_data_found';
        end if;
    end if;

    added := tell_events(of_order, of_month, progress -> 'events');
    if not is_new and (changed or added > 0) then
        update orders set version = version where ctid = place; -- the trigger raises it
    end if;
    return is_new or changed or added > 0;
end;
$$;
