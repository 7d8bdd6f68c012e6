-- Every event is told by a function, so that where events are kept can change under workers that run.

-- Adds those of the events that are missing; the caller holds the order's row. Returns how many were added.
create function tell_events(of_order text, told jsonb) returns bigint language plpgsql as $$
declare
    added bigint;
begin
    insert into events (order_id, key, kind, step, at, detail)
    select of_order, line ->> 'key', line ->> 'kind', line ->> 'step', (line ->> 'at')::timestamptz, line -> 'detail'
    from jsonb_array_elements(told) with ordinality as told_line (line, number)
    order by number
    on conflict (order_id, key) do nothing;
    get diagnostics added = row_count;
    return added;
end;
$$;
