-- What a write does in the database itself: numbers the order's version, wakes the change feed, applies a progress,
-- inserts events.

-- Pending payments.

-- Whether the outcome of a charge, an authorization or a refund is pending for an order at this step. Money that a canceled
-- or failed order holds is to be returned, also before that has begun. `payment_pending` in Python is the same.
create function payment_pending(of_step text, payment_status text) returns boolean
language sql immutable parallel safe as $$
    select payment_status in ('INIT', 'PENDING', 'REFUNDING')
        or payment_status in ('AUTHORIZED', 'PARTIALLY_CAPTURED', 'CHARGED', 'PARTIALLY_REFUNDED')
            and of_step in ('canceled', 'failed')
$$;

-- Order versions.

-- Every write of an order raises its version, saves its transaction for the change feed's cursor, and notifies the
-- feed. The notification has no content, so Postgres sends one per transaction.
-- An update that sets the version to null changes nothing, so readers see no change.
create function set_order_version() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.version is null then
        return old;
    end if;
    if tg_op = 'INSERT' then
        new.version := 1;
        new.received_month := date_trunc('month', new.created_at at time zone 'utc');
    else
        new.version := old.version + 1;
    end if;
    new.changed_xid := pg_current_xact_id();
    new.updated_at := now();
    -- Each change of a payment is followed by a write of its order, so the last writer sees both.
    new.refund_pending := false;
    if payment_pending(new.step, 'CHARGED') then
        new.refund_pending := exists (
            select from payments
            where payment_id = new.payment_id and order_id = new.order_id and payment_pending(new.step, status)
        );
    end if;
    perform pg_notify('orderfleet_orders', '');
    return new;
end;
$$;

create trigger set_order_version before insert or update on orders
    for each row execute function set_order_version();

-- Events.

-- Whether two events with one key are the same. `error`, `times` and `waited_seconds` are not compared: they differ
-- when Temporal runs a workflow task again, and when a later attempt reports an earlier one.
create function is_same_event(kind text, detail jsonb, other_kind text, other_detail jsonb) returns boolean
language sql immutable parallel safe as $$
    select kind = other_kind
        and detail - '{error,times,waited_seconds}'::text[] = other_detail - '{error,times,waited_seconds}'::text[]
$$;

-- Inserts the events whose key a different event has. Each gets its content's hash as a suffix of the key and
-- the id of the other one as `conflicts_with`, so a forged event cannot keep a real one out of the audit trail.
-- The warning is in the server's log, and the worker logs it as an error. Returns the number of inserted events.
create function insert_conflicting_events(of_order text, of_month date, new_events jsonb) returns bigint
language plpgsql as $$
declare
    inserted bigint := 0;
    conflict record;
begin
    for conflict in
        select given.event, existing.id, existing.kind
        from jsonb_array_elements(new_events) with ordinality as given (event, number)
        join events as existing
            on existing.order_id = of_order and existing.received_month = of_month and existing.key = event ->> 'key'
        where not is_same_event(existing.kind, existing.detail, event ->> 'kind', event -> 'detail')
        -- An erasure has changed the events of the order.
        and not exists (select from orders where order_id = of_order and erased_at is not null)
        order by number
    loop
        insert into events (order_id, key, kind, step, at, detail, received_month)
        values (
            of_order,
            (conflict.event ->> 'key') || '#' || md5((conflict.event ->> 'kind') || (conflict.event ->> 'detail')),
            conflict.event ->> 'kind',
            conflict.event ->> 'step',
            (conflict.event ->> 'at')::timestamptz,
            (conflict.event -> 'detail') || jsonb_build_object('conflicts_with', conflict.id),
            of_month
        )
        on conflict (order_id, key, received_month) do nothing;
        if found then
            inserted := inserted + 1;
            raise warning 'order %: event key % belongs to event % of kind %; an event of kind % was inserted beside it',
                of_order, conflict.event ->> 'key', conflict.id, conflict.kind, conflict.event ->> 'kind';
        end if;
    end loop;
    return inserted;
end;
$$;

-- Inserts the events that are missing. The caller has locked the order's row and knows its month.
-- Returns the number of inserted events.
create function insert_events(of_order text, of_month date, new_events jsonb) returns bigint
language plpgsql as $$
declare
    inserted bigint;
begin
    insert into events (order_id, key, kind, step, at, detail, received_month)
    select
        of_order, event ->> 'key', event ->> 'kind', event ->> 'step', (event ->> 'at')::timestamptz, event -> 'detail',
        of_month
    from jsonb_array_elements(new_events) with ordinality as given (event, number)
    order by number
    on conflict (order_id, key, received_month) do nothing;
    get diagnostics inserted = row_count;
    if inserted < jsonb_array_length(new_events) then
        inserted := inserted + insert_conflicting_events(of_order, of_month, new_events);
    end if;
    return inserted;
end;
$$;

-- The same for a caller that does not know the month.
create function insert_events(of_order text, new_events jsonb) returns bigint language sql as $$
    select insert_events(of_order, received_month, new_events) from orders where order_id = of_order;
$$;

-- Progress.

-- Applies a progress: the order's state if its number is new, the missing events always. `changed` is true when the
-- caller has changed what readers see of the order in another table. Returns whether anything changed.
create function record_progress(of_order text, progress jsonb, changed boolean default false) returns boolean
language plpgsql as $$
declare
    new_seq   bigint := (progress ->> 'seq')::bigint;
    is_new    boolean := false;
    order_row tid; -- of the locked row: the second update needs no index
    of_month  date;
    inserted  bigint;
    late      bigint; -- the order's version, if it ended before
begin
    if new_seq > 0 then -- 0: events without a state
        update orders set
            recorded_seq           = new_seq,
            step                   = progress ->> 'step',
            approved               = (progress ->> 'approved')::boolean,
            canceled               = (progress ->> 'canceled')::boolean,
            cancel_reason          = progress ->> 'cancel_reason',
            dispatch_failed_reason = progress ->> 'dispatch_failed_reason',
            last_error             = coalesce(progress ->> 'last_error', last_error), -- the last error is kept
            address                = coalesce(nullif(progress -> 'address', 'null'), address),
            retries                = retries || (progress -> 'retries'),
            declared               = progress -> 'declared',
            hold                   = nullif(progress -> 'hold', 'null'),
            payment_pending        = nullif(progress -> 'payment_pending', 'null'),
            completed_at           = (progress ->> 'completed_at')::timestamptz
        where order_id = of_order and recorded_seq < new_seq
        returning received_month into of_month;
        is_new := found;
    end if;

    if is_new and progress ->> 'step' = 'delivered' then
        -- An order has at most one dispatched shipment.
        update shipments set status = 'delivered', updated_at = now()
        where order_id = of_order and status = 'dispatched';
    end if;

    if not is_new then
        select ctid, received_month into order_row, of_month from orders where order_id = of_order for no key update;
        if not found then
            raise exception 'order % is not recorded', of_order using errcode = 'no_data_found';
        end if;
    end if;

    inserted := insert_events(of_order, of_month, progress -> 'events');
    if not is_new and (changed or inserted > 0) then
        update orders set version = version where ctid = order_row -- the trigger raises it
        returning case when completed_at is not null and owner <> '' then version end into late;
        if changed and late is not null then
            insert into unshown_payments (order_id, version) values (of_order, late)
            on conflict (order_id) do update set version = excluded.version, since = excluded.since;
        end if;
    end if;
    return is_new or changed or inserted > 0;
end;
$$;

-- Shipments.

-- Inserts a shipment or updates it, its status only if that is one of `origins` now, and inserts the missing events.
-- A late write fills in a missing carrier and tracking number, and overwrites neither. A shipment id of another order is
-- an error.
-- The order's row is locked first: `erase` and `prune` lock orders before shipments too.
create function record_shipment(
    of_shipment text,
    of_order text,
    given_attempt integer,
    given_status text,
    given_carrier text,
    given_tracking_number text,
    given_attempts integer,
    given_reason text,
    origins text[],
    new_events jsonb
) returns void language plpgsql as $$
declare
    order_row tid;
    of_month date;
    changed  boolean;
    inserted bigint;
begin
    select ctid, received_month into order_row, of_month from orders where order_id = of_order for no key update;
    if not found then
        raise exception 'order % is not recorded', of_order using errcode = 'no_data_found';
    end if;

    insert into shipments as s (
        shipment_id, order_id, attempt, status, carrier, tracking_number, attempts, dispatch_failed_reason
    )
    values (
        of_shipment, of_order, given_attempt, given_status, given_carrier, given_tracking_number, given_attempts,
        given_reason
    )
    on conflict (shipment_id) do update
    set
        status = case when s.status = any(origins) then excluded.status else s.status end,
        carrier = coalesce(s.carrier, excluded.carrier),
        tracking_number = coalesce(s.tracking_number, excluded.tracking_number),
        attempts = greatest(s.attempts, excluded.attempts),
        dispatch_failed_reason = case
            when s.status = any(origins) then excluded.dispatch_failed_reason
            else s.dispatch_failed_reason
        end,
        updated_at = now()
    where s.order_id = excluded.order_id and (
        s.status = any(origins)
        or (s.carrier is null and excluded.carrier is not null)
        or (s.tracking_number is null and excluded.tracking_number is not null)
        or s.attempts < excluded.attempts
    );
    changed := found;
    if not changed and exists (select from shipments where shipment_id = of_shipment and order_id <> of_order) then
        raise exception 'shipment % belongs to another order than %', of_shipment, of_order
            using errcode = 'unique_violation';
    end if;

    inserted := insert_events(of_order, of_month, new_events);
    if changed or inserted > 0 then
        update orders set version = version where ctid = order_row; -- the trigger raises it
    end if;
end;
$$;
