-- The record: orders, their payments and shipments, and the audit trail.
-- Written only by the statements in orderfleet/store/sql; every one of them is idempotent.

create table orders (
    order_id                text primary key,
    workflow_id             text        not null,
    run_id                  text        not null,
    first_run_id            text        not null, -- the same over continue-as-new: whose order this is
    owner                   text        not null, -- namespace/name of the Order; empty without one
    owner_uid               text        not null,
    content_hash            text        not null,
    customer_name           text        not null,
    customer_email          text        not null,
    items                   jsonb       not null,
    address                 jsonb       not null,
    payment_id              text        not null,
    amount                  numeric     not null, -- unbounded, so that 10.00 is read back as 10.00; may be wrong until validated
    currency                text        not null,
    step                    text        not null check (step in (
        'receive', 'validate', 'manual_review', 'charge', 'shipping', 'shipped', 'delivered', 'canceled', 'failed')),
    approved                boolean     not null default false,
    canceled                boolean     not null default false,
    cancel_reason           text,
    dispatch_failed_reason  text,
    last_error              text,
    retries                 jsonb       not null default '{}',
    declared                jsonb       not null default '{}',
    recorded_seq            bigint      not null default 0, -- number of the last progress applied
    version                 bigint      not null,
    changed_xid             xid8        not null,
    created_at              timestamptz not null,
    updated_at              timestamptz not null,
    completed_at            timestamptz
);

-- The change feed reads upwards from its cursor.
create index orders_changed on orders (changed_xid, order_id);

create table payments (
    payment_id  text primary key,
    order_id    text        not null references orders,
    status      text        not null check (status in (
        'INIT', 'CHARGED', 'FAILED', 'VOIDED', 'REFUNDING', 'REFUNDED')),
    amount      numeric     not null check (amount >= 0),
    currency    text        not null,
    reference   text,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);

create table shipments (
    shipment_id             text primary key,
    order_id                text        not null references orders,
    attempt                 integer     not null check (attempt >= 1),
    status                  text        not null check (status in (
        'preparing', 'prepared', 'dispatched', 'delivered', 'canceled', 'failed')),
    carrier                 text,
    tracking_number         text,
    attempts                integer     not null default 0 check (attempts >= 0),
    dispatch_failed_reason  text,
    created_at              timestamptz not null default now(),
    updated_at              timestamptz not null default now(),
    unique (order_id, attempt)
);

-- Ids of one order rise in the order of commit, because its row is locked before an event is added;
-- so a reader that goes on after the last id it saw misses none.
create table events (
    order_id  text        not null references orders,
    id        bigint      generated always as identity,
    key       text        not null,
    kind      text        not null,
    step      text        not null,
    at        timestamptz not null,
    detail    jsonb       not null default '{}',
    primary key (order_id, id),
    unique (order_id, key)
);

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end;
$$;

create trigger events_append_only before update or delete or truncate on events
    for each statement execute function refuse_change();

-- What every write of an order does, whoever writes: a new version, its transaction for the change
-- feed's cursor, and a wake-up. The payload is constant, so one transaction wakes a reader once.
create function order_changed() returns trigger language plpgsql as $$
begin
    new.version := case tg_op when 'INSERT' then 1 else old.version + 1 end;
    new.changed_xid := pg_current_xact_id();
    new.updated_at := now();
    perform pg_notify('orderfleet_orders', '');
    return new;
end;
$$;

create trigger orders_changed before insert or update on orders
    for each row execute function order_changed();

-- Applies a Progress: the order's state when its number is new, the events that are missing always.
-- `changed` says that the caller changed what readers see of the order beside its row.
-- The order's row is locked before the events are added, by everyone, so that writers of one order queue up.
-- Returns whether anything changed.
create function record_progress(of_order text, progress jsonb, changed boolean default false) returns boolean
language plpgsql as $$
declare
    is_new boolean;
    added  bigint;
begin
    update orders set
        recorded_seq           = (progress ->> 'seq')::bigint,
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
    where order_id = of_order and recorded_seq < (progress ->> 'seq')::bigint;
    is_new := found;

    if not is_new then
        perform from orders where order_id = of_order for no key update;
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
        update orders set version = version where order_id = of_order; -- the trigger raises it
    end if;
    return is_new or changed or added > 0;
end;
$$;

-- An order as readers see it. Amounts and times keep their types; the shipments are one JSON array.
create view recorded_orders as
select
    o.order_id, o.workflow_id, o.run_id, o.owner, o.owner_uid, o.content_hash, o.version, o.changed_xid,
    o.step, o.approved, o.canceled, o.cancel_reason, o.address, o.dispatch_failed_reason, o.last_error,
    o.retries, o.declared, o.created_at, o.updated_at, o.completed_at,
    o.payment_id, p.status as payment_status, o.amount, o.currency,
    s.shipments
from orders o
left join payments p on p.payment_id = o.payment_id and p.order_id = o.order_id
cross join lateral (
    select coalesce(jsonb_agg(jsonb_build_object(
        'id', shipment_id,
        'status', status,
        'carrier', carrier,
        'tracking_number', tracking_number,
        'attempts', attempts,
        'dispatch_failed_reason', dispatch_failed_reason
    ) order by attempt), '[]') as shipments
    from shipments
    where shipments.order_id = o.order_id
) s;
