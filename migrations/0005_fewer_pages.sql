-- oldest: 0001
-- A write of the record touches fewer pages of its indexes, which get deeper as orders pile up.

-- An event is found by its order, whose events are few; their ids need no index of their own. Releases before this one
-- read and write events as before.
alter table events drop constraint events_pkey;
alter table events replica identity using index events_order_id_key_key;

-- As before, but the order's row is found once: what was locked is written by its place.
create or replace function record_progress(of_order text, progress jsonb, changed boolean default false) returns boolean
language plpgsql as $$
declare
    given  bigint := (progress ->> 'seq')::bigint;
    is_new boolean := false;
    place  tid;
    added  bigint;
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
        where order_id = of_order and recorded_seq < given;
        is_new := found;
    end if;

    if not is_new then
        select ctid into place from orders where order_id = of_order for no key update;
        if not found then
            raise exception 'order % is not recorded', of_order using errcode = 'no_data_found';
        end if;
    end if;

    insert into events (order_id, key, kind, step, at, detail)
    select of_order, told ->> 'key', told ->> 'kind', told ->> 'step', (told ->> 'at')::timestamptz, told -> 'detail'
    from jsonb_array_elements(progress -> 'events') with ordinality as line (told, number)
    order by number
    on conflict (order_id, key) do nothing;
    get diagnostics added = row_count;

    if not is_new and (changed or added > 0) then
        update orders set version = version where ctid = place; -- the trigger raises it
    end if;
    return is_new or changed or added > 0;
end;
$$;
