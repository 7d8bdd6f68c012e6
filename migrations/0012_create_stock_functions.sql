-- What writes stock. Guards refuse intents (a reservation, a commit, an adjustment downward) and never facts (a count, a
-- restock). Each function is called by a statement of its own and locks rows in the order of 0011_create_stock.sql.

-- Levels, and changes of what is reserved there.

create type stock_places as (sku text, location text);
create type stock_changes as (sku text, location text, pieces bigint);

-- Locks.

-- Locks the rows of owners, and inserts those that are missing.
create function lock_stock_owners(owners text[]) returns void language plpgsql as $$
begin
    insert into stock_owners (owner) select distinct each from unnest(owners) as each order by each
    on conflict do nothing;
    perform from stock_owners where owner = any(owners) order by owner for no key update;
end;
$$;

-- Locks levels, given as two arrays, and removes the expired reservations there. Returns how many it removed. Loops over
-- levels: joins with values of unknown number would be planned as scans of the table.
create function lock_stock_levels(skus text[], locations text[]) returns integer language plpgsql as $$
declare
    levels  stock_places[] := array(
        select row(sku, location)::stock_places
        from (select distinct sku, location from unnest(skus, locations) as given (sku, location)) as each
        order by sku collate "C", location collate "C"
    );
    l       stock_places;
    at      timestamptz;
    part    integer;
    removed integer := 0;
begin
    foreach l in array levels loop
        perform from stock_levels where sku = l.sku and location = l.location for no key update;
    end loop;
    at := clock_timestamp();
    foreach l in array levels loop
        continue when not exists (
            select from stock_reservations
            where sku = l.sku and location = l.location and state = 'held' and expires_at <= at
        );
        with expired as materialized (
            select owner, line, sku, location, qty - committed as pieces, committed
            from stock_reservations
            where sku = l.sku and location = l.location and state = 'held' and expires_at <= at
            order by owner, line
            for update
        ), gone as (
            delete from stock_reservations as r using expired as e
            where (r.owner, r.line, r.sku, r.location) = (e.owner, e.line, e.sku, e.location) and e.committed = 0
        ), kept as (
            update stock_reservations as r set qty = r.committed, taken = 0, state = 'committed', expires_at = null
            from expired as e
            where (r.owner, r.line, r.sku, r.location) = (e.owner, e.line, e.sku, e.location) and e.committed > 0
        ), freed as (
            update stock_levels set reserved = reserved - (select sum(pieces) from expired)
            where sku = l.sku and location = l.location
        )
        select count(*) into part from expired;
        removed := removed + part;
    end loop;
    return removed;
end;
$$;

-- Removes expired reservations of the levels of the `most` that expired first. Returns how many it removed.
create function remove_expired_stock(most integer) returns integer language sql as $$
    select lock_stock_levels(array_agg(sku), array_agg(location))
    from (
        select distinct sku, location
        from (
            select sku, location from stock_reservations
            where state = 'held' and expires_at <= statement_timestamp()
            order by expires_at limit most
        ) as expired
    ) as level
$$;

-- Reservations.

-- Adds pieces to what is reserved at locked levels.
create function reserve_pieces(changes stock_changes[]) returns void language plpgsql as $$
declare
    c stock_changes;
begin
    foreach c in array coalesce(changes, '{}') loop
        update stock_levels set reserved = reserved + c.pieces, updated_at = clock_timestamp()
        where sku = c.sku and location = c.location and c.pieces <> 0;
    end loop;
end;
$$;

-- Makes an owner's reservations what `request` declares, if the revision and the stock allow it. The caller has locked the
-- owner and the levels, those of its present reservations included.
create function declare_reservation(request jsonb) returns jsonb language plpgsql as $$
declare
    o           stock_owners;
    at          timestamptz := clock_timestamp();
    declared    text;
    new_number  bigint;
    c           record;
    former      stock_reservations;
    free        bigint;
    missing     jsonb := '[]';
    changes     stock_changes[] := '{}';
begin
    select * into strict o from stock_owners where owner = request ->> 'owner';
    select coalesce(md5(string_agg(each::text, ',' order by each ->> 'line', each ->> 'sku', each ->> 'location')), '')
    into declared
    from jsonb_array_elements(request -> 'lines') as each;
    -- Without a revision (a release by a caller that does not know it): the stored one, or the next if places differ.
    new_number := coalesce((request ->> 'revision')::bigint, o.revision + (o.content <> declared)::integer);
    if new_number < o.revision or new_number = o.revision and o.content <> declared then
        return jsonb_build_object('outcome', 'outdated', 'revision', o.revision);
    end if;

    -- By level. Pieces that are dispatched stay.
    for c in
        select sku, location, sum(greatest(coalesce(w.qty, 0), coalesce(r.committed, 0)) - coalesce(r.qty, 0)) as pieces,
            sum(coalesce(r.qty - r.committed, 0)) as own
        from jsonb_to_recordset(request -> 'lines') as w (line text, sku text, location text, qty integer)
        full join (select * from stock_reservations where owner = o.owner) as r using (line, sku, location)
        group by sku, location
    loop
        changes := array_append(changes, row(c.sku, c.location, c.pieces)::stock_changes);
        continue when c.pieces <= 0;
        select greatest(0, l.on_hand - l.reserved) into free
        from stock_levels as l join stock_locations as p on p.location = l.location
        where l.sku = c.sku and l.location = c.location and p.active;
        if c.pieces > coalesce(free, 0) then
            missing := missing || jsonb_build_object(
                'sku', c.sku, 'location', c.location, 'wanted', c.own + c.pieces, 'available', c.own + coalesce(free, 0));
        end if;
    end loop;
    if missing <> '[]' then
        return jsonb_build_object('outcome', 'conflict', 'revision', o.revision, 'missing', missing);
    end if;

    for former in select * from stock_reservations where owner = o.owner loop
        continue when exists (
            select from jsonb_to_recordset(request -> 'lines') as w (line text, sku text, location text)
            where (w.line, w.sku, w.location) = (former.line, former.sku, former.location)
        );
        if former.committed = 0 then
            delete from stock_reservations
            where owner = former.owner and line = former.line and sku = former.sku and location = former.location;
        else
            update stock_reservations
            set qty = committed, taken = 0, state = 'committed', past_gate = false, expires_at = null
            where owner = former.owner and line = former.line and sku = former.sku and location = former.location;
        end if;
    end loop;
    insert into stock_reservations as r (owner, line, sku, location, qty, state, expires_at, created_at)
    select o.owner, line, sku, location, qty,
        case when (request ->> 'confirm')::boolean then 'confirmed' else 'held' end,
        case when not (request ->> 'confirm')::boolean
            then at + (request ->> 'seconds')::float8 * interval '1 second' end,
        at
    from jsonb_to_recordset(request -> 'lines') as w (line text, sku text, location text, qty integer)
    on conflict (owner, line, sku, location) do update set
        qty = greatest(excluded.qty, r.committed),
        taken = 0,
        state = case
            when excluded.qty <= r.committed then 'committed' when r.state = 'confirmed' then r.state
            else excluded.state
        end,
        past_gate = r.past_gate and excluded.qty > r.committed,
        expires_at = case
            when excluded.qty > r.committed and r.state <> 'confirmed' and excluded.state = 'held'
            then greatest(r.expires_at, excluded.expires_at)
        end;
    perform reserve_pieces(changes);
    if (new_number, declared) is distinct from (o.revision, o.content) then
        update stock_owners set revision = new_number, content = declared, updated_at = at where owner = o.owner;
    end if;
    return jsonb_build_object('outcome', 'applied', 'revision', new_number);
end;
$$;

-- Makes the reservations of each request's owner what it declares: all of it at exact places, or nothing. So it reserves,
-- renews, confirms and releases. A request is {owner, revision, confirm, seconds, lines: [{line, sku, location, qty}]}; its
-- lines count pieces that are dispatched too. A higher revision replaces the present reservations. The present revision
-- with the same lines answers the same, renews, and reserves again what expired or was taken away. Returns for each
-- request its outcome: applied; conflict, with the places that lack pieces and what the owner could have there; outdated.
create function reserve_stock(requests jsonb) returns jsonb language plpgsql as $$
declare
    owners      text[] := array(select each ->> 'owner' from jsonb_array_elements(requests) as each);
    skus        text[];
    locations   text[];
    request     jsonb;
    answers     jsonb[] := '{}';
begin
    perform lock_stock_owners(owners);
    select array_agg(sku), array_agg(location) into skus, locations
    from (
        select line ->> 'sku' as sku, line ->> 'location' as location
        from jsonb_array_elements(requests) as each
        cross join jsonb_array_elements(each -> 'lines') as line
        union
        select sku, location from stock_reservations where owner = any(owners)
    ) as level;
    perform lock_stock_levels(skus, locations);
    for request in select * from jsonb_array_elements(requests) loop
        answers := array_append(answers, declare_reservation(request));
    end loop;
    return to_jsonb(answers);
end;
$$;

-- Marks an owner's reservations as past their gate, or before it again. Returns false, and marks nothing, if pieces are no
-- longer there: expired, taken away by a count, or not confirmed. The levels are not locked.
create function pass_stock_gate(of_owner text, lines jsonb, passed boolean) returns boolean language plpgsql as $$
begin
    perform lock_stock_owners(array[of_owner]);
    perform from stock_reservations where owner = of_owner order by sku, location, owner, line for update;
    if passed and exists (
        select from jsonb_to_recordset(lines) as w (line text, sku text, location text, qty integer)
        left join stock_reservations as r
            on (r.owner, r.line, r.sku, r.location) = (of_owner, w.line, w.sku, w.location) and r.state = 'confirmed'
        where r.owner is null or r.qty - r.committed < w.qty
    ) then
        return false;
    end if;
    update stock_reservations as r set past_gate = passed
    from jsonb_to_recordset(lines) as w (line text, sku text, location text, qty integer)
    where (r.owner, r.line, r.sku, r.location) = (of_owner, w.line, w.sku, w.location)
        and r.state = 'confirmed' and r.past_gate <> passed;
    return true;
end;
$$;

-- Movements.

-- Whether the movements of a key are these; null if it has none.
create function is_same_movement(of_key text, of_kind text, of_owner text, lines jsonb, sign integer) returns boolean
language sql stable as $$
    select case when count(m.id) > 0 then bool_and(coalesce(m.qty = w.qty and m.owner = of_owner, false)) end
    from (select * from stock_movements where key = of_key and kind = of_kind) as m
    full join (
        select coalesce(line, '') as line, sku, location, sum(qty) * sign as qty
        from jsonb_to_recordset(lines) as given (line text, sku text, location text, qty bigint)
        group by 1, sku, location
    ) as w using (line, sku, location)
$$;

-- Adds movements of levels that the caller has locked.
create function add_movements(
    of_kind text, lines jsonb, sign integer, of_owner text, of_key text, given_reason text, given_actor text
) returns void language plpgsql as $$
declare
    m       record;
    after   bigint;
begin
    for m in
        select coalesce(line, '') as line, sku, location, sum(qty) * sign as qty
        from jsonb_to_recordset(lines) as given (line text, sku text, location text, qty bigint)
        group by 1, sku, location
        order by sku, location, 1
    loop
        update stock_levels set on_hand = on_hand + m.qty, updated_at = clock_timestamp()
        where sku = m.sku and location = m.location
        returning on_hand into strict after;
        insert into stock_movements (sku, location, kind, qty, on_hand, reason, actor, owner, line, key)
        values (m.sku, m.location, of_kind, m.qty, after, given_reason, given_actor, of_owner, m.line, of_key);
    end loop;
end;
$$;

-- Commits reserved pieces at their dispatch, under the key of their booking: they leave the stock. An intent: refused, with
-- what is there, if the owner no longer has the pieces; an owner that passed the gate has them.
create function commit_stock(of_owner text, of_key text, given_lines jsonb, given_actor text) returns jsonb
language plpgsql as $$
declare
    lines       jsonb := (
        select jsonb_agg(to_jsonb(each))
        from (
            select line, sku, location, sum(qty) as qty
            from jsonb_to_recordset(given_lines) as given (line text, sku text, location text, qty integer)
            group by line, sku, location
        ) as each
    );
    repeated    boolean;
    missing     jsonb;
begin
    perform lock_stock_owners(array[of_owner]);
    repeated := is_same_movement(of_key, 'committed', of_owner, lines, -1);
    if repeated is not null then
        return jsonb_build_object('outcome', case when repeated then 'applied' else 'key_conflict' end);
    end if;
    perform lock_stock_levels(array_agg(sku), array_agg(location))
    from jsonb_to_recordset(lines) as given (sku text, location text);
    perform from stock_reservations where owner = of_owner order by sku, location, owner, line for update;
    select jsonb_agg(jsonb_build_object(
        'line', w.line, 'sku', w.sku, 'location', w.location, 'wanted', w.qty,
        'available', coalesce(r.qty - r.committed, 0)))
    into missing
    from jsonb_to_recordset(lines) as w (line text, sku text, location text, qty integer)
    left join stock_reservations as r
        on (r.owner, r.line, r.sku, r.location) = (of_owner, w.line, w.sku, w.location)
    where r.owner is null or r.qty - r.committed < w.qty;
    if missing is not null then
        return jsonb_build_object('outcome', 'conflict', 'missing', missing);
    end if;
    update stock_reservations as r set
        committed = r.committed + w.qty,
        state = case when r.committed + w.qty = r.qty then 'committed' else r.state end,
        past_gate = r.past_gate and r.committed + w.qty < r.qty,
        expires_at = case when r.committed + w.qty < r.qty then r.expires_at end
    from jsonb_to_recordset(lines) as w (line text, sku text, location text, qty integer)
    where (r.owner, r.line, r.sku, r.location) = (of_owner, w.line, w.sku, w.location);
    perform reserve_pieces(array_agg(row(sku, location, -qty)::stock_changes))
    from jsonb_to_recordset(lines) as given (sku text, location text, qty integer);
    perform add_movements('committed', lines, -1, of_owner, of_key, '', given_actor);
    return '{"outcome": "applied"}';
end;
$$;

-- Those of the locations that do not exist; null if all do.
create function unknown_locations(lines jsonb) returns jsonb language sql stable as $$
    select jsonb_agg(distinct location)
    from jsonb_to_recordset(lines) as given (location text)
    where not exists (select from stock_locations as l where l.location = given.location)
$$;

-- Inserts the levels that are missing, and locks all.
create function ensure_stock_levels(lines jsonb) returns void language sql as $$
    insert into stock_levels (sku, location)
    select distinct sku, location from jsonb_to_recordset(lines) as given (sku text, location text) order by sku, location
    on conflict do nothing;
    select lock_stock_levels(array_agg(sku), array_agg(location))
    from jsonb_to_recordset(lines) as given (sku text, location text);
$$;

-- Returns pieces to stock under a key: a canceled dispatch, a return. A fact. Reservations stay as they are.
create function restock_stock(of_owner text, of_key text, lines jsonb, given_reason text, given_actor text) returns jsonb
language plpgsql as $$
declare
    nowhere     jsonb := unknown_locations(lines);
    repeated    boolean;
begin
    if nowhere is not null then
        return jsonb_build_object('outcome', 'unknown_location', 'locations', nowhere);
    end if;
    perform ensure_stock_levels(lines);
    repeated := is_same_movement(of_key, 'restocked', of_owner, lines, 1);
    if repeated is not null then
        return jsonb_build_object('outcome', case when repeated then 'applied' else 'key_conflict' end);
    end if;
    perform add_movements('restocked', lines, 1, of_owner, of_key, given_reason, given_actor);
    return '{"outcome": "applied"}';
end;
$$;

-- Changes what is on hand at one level by a signed number, under a key if there is one. Downward it is an intent: refused
-- where it would take pieces that are reserved.
create function adjust_stock(of_sku text, of_location text, pieces bigint, given_reason text, given_actor text, of_key text)
returns jsonb language plpgsql as $$
declare
    lines       jsonb := jsonb_build_array(jsonb_build_object('sku', of_sku, 'location', of_location, 'qty', pieces));
    nowhere     jsonb := unknown_locations(lines);
    repeated    boolean;
    l           stock_levels;
begin
    if nowhere is not null then
        return jsonb_build_object('outcome', 'unknown_location', 'locations', nowhere);
    end if;
    perform ensure_stock_levels(lines);
    select * into strict l from stock_levels where sku = of_sku and location = of_location;
    repeated := is_same_movement(of_key, 'adjusted', '', lines, 1);
    if repeated is not null then
        return jsonb_build_object('outcome', case when repeated then 'applied' else 'key_conflict' end,
            'on_hand', l.on_hand, 'reserved', l.reserved);
    end if;
    if pieces < 0 and l.on_hand + pieces < l.reserved then
        return jsonb_build_object('outcome', 'conflict', 'on_hand', l.on_hand, 'reserved', l.reserved);
    end if;
    perform add_movements('adjusted', lines, 1, '', of_key, given_reason, given_actor);
    return jsonb_build_object('outcome', 'applied', 'on_hand', l.on_hand + pieces, 'reserved', l.reserved);
end;
$$;

-- Counts.

-- Records what was counted at levels, as {sku, location, on_hand}; all or nothing. A fact: where fewer pieces are on hand
-- than reserved, it takes reservations away, the youngest that are held first, then the youngest that are confirmed and
-- before their gate. Returns how many levels it created and changed, and the pieces that owners lost.
create function count_stock(counts jsonb, given_reason text, given_actor text) returns jsonb language plpgsql as $$
declare
    nowhere jsonb := unknown_locations(counts);
    known   bigint;
    changed jsonb;
    lost    jsonb;
begin
    if nowhere is not null then
        return jsonb_build_object('outcome', 'unknown_location', 'locations', nowhere);
    end if;
    select count(*) into known
    from jsonb_to_recordset(counts) as given (sku text, location text) join stock_levels using (sku, location);
    perform ensure_stock_levels(counts);
    select coalesce(jsonb_agg(
        jsonb_build_object('sku', sku, 'location', location, 'qty', given.on_hand - l.on_hand)), '[]')
    into changed
    from jsonb_to_recordset(counts) as given (sku text, location text, on_hand bigint)
    join stock_levels as l using (sku, location)
    where given.on_hand <> l.on_hand;
    perform add_movements('counted', changed, 1, '', null, given_reason, given_actor);

    perform from stock_reservations as r
    where r.state <> 'committed' and (r.sku, r.location) in (
        select sku, location from jsonb_to_recordset(changed) as given (sku text, location text)
        join stock_levels as l using (sku, location) where l.short)
    order by r.sku, r.location, r.owner, r.line
    for update;
    with victim as (
        select r.owner, r.line, r.sku, r.location, r.state, r.qty - r.committed as pieces, l.reserved - l.on_hand as excess,
            sum(r.qty - r.committed) over (
                partition by r.sku, r.location order by r.state <> 'held', r.created_at desc, r.owner desc, r.line desc
            ) as upto
        from jsonb_to_recordset(changed) as given (sku text, location text)
        join stock_levels as l using (sku, location)
        join stock_reservations as r using (sku, location)
        where l.short and r.state <> 'committed' and not r.past_gate and r.qty > r.committed
    ), loss as (
        select *, least(pieces, excess - (upto - pieces))::integer as takes from victim where upto - pieces < excess
    ), taken as (
        update stock_reservations as r set qty = r.qty - t.takes, taken = r.taken + t.takes
        from loss as t
        where (r.owner, r.line, r.sku, r.location) = (t.owner, t.line, t.sku, t.location)
    )
    select coalesce(jsonb_agg(jsonb_build_object(
        'owner', owner, 'line', line, 'sku', sku, 'location', location, 'qty', takes, 'state', state
    ) order by owner, line, sku, location), '[]')
    into lost
    from loss;
    perform reserve_pieces(array_agg(row(sku, location, -qty)::stock_changes))
    from jsonb_to_recordset(lost) as given (sku text, location text, qty integer);
    return jsonb_build_object('outcome', 'applied', 'created', jsonb_array_length(counts) - known,
        'changed', jsonb_array_length(changed), 'lost', lost);
end;
$$;
