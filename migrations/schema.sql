CREATE FUNCTION public.create_events_partition(of_month date) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.detach_events_partition(of_month date) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    lock table orders in share row exclusive mode;
    execute format('alter table events detach partition %I', to_char(of_month, '"events_"YYYY_MM'));
end;
$$;

CREATE FUNCTION public.drop_events_partition(of_month date) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.insert_conflicting_events(of_order text, of_month date, new_events jsonb) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.insert_events(of_order text, new_events jsonb) RETURNS bigint
    LANGUAGE sql
    AS $$
    select insert_events(of_order, received_month, new_events) from orders where order_id = of_order;
$$;

CREATE FUNCTION public.insert_events(of_order text, of_month date, new_events jsonb) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.is_same_event(kind text, detail jsonb, other_kind text, other_detail jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select kind = other_kind
        and detail - '{error,times,waited_seconds}'::text[] = other_detail - '{error,times,waited_seconds}'::text[]
$$;

CREATE FUNCTION public.make_append_only(table_name text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    execute format(
        'create trigger events_append_only before update or delete or truncate on %I'
        ' for each statement execute function reject_change()', table_name
    );
end;
$$;

CREATE FUNCTION public.payment_pending(of_step text, payment_status text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select payment_status in ('INIT', 'REFUNDING') or payment_status = 'CHARGED' and of_step in ('canceled', 'failed')
$$;

CREATE FUNCTION public.record_progress(of_order text, progress jsonb, changed boolean DEFAULT false) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
declare
    new_seq   bigint := (progress ->> 'seq')::bigint;
    is_new    boolean := false;
    order_row tid; -- of the locked row: the second update needs no index
    of_month  date;
    inserted  bigint;
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
        update orders set version = version where ctid = order_row; -- the trigger raises it
    end if;
    return is_new or changed or inserted > 0;
end;
$$;

CREATE FUNCTION public.record_shipment(of_shipment text, of_order text, given_attempt integer, given_status text, given_carrier text, given_tracking_number text, given_attempts integer, given_reason text, origins text[], new_events jsonb) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.reject_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if tg_op <> 'TRUNCATE' and current_setting('orderfleet.erasing', true) = 'on' then
        return null;
    end if;
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end;
$$;

CREATE FUNCTION public.set_order_version() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE TABLE public.events (
    order_id text NOT NULL,
    id bigint NOT NULL,
    key text NOT NULL,
    kind text NOT NULL,
    step text NOT NULL,
    at timestamp with time zone NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    received_month date NOT NULL
)
PARTITION BY RANGE (received_month);

CREATE SEQUENCE public.event_ids
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.event_ids OWNED BY public.events.id;

CREATE TABLE public.events_default (
    order_id text CONSTRAINT events_order_id_not_null NOT NULL,
    id bigint DEFAULT nextval('public.event_ids'::regclass) CONSTRAINT events_id_not_null NOT NULL,
    key text CONSTRAINT events_key_not_null NOT NULL,
    kind text CONSTRAINT events_kind_not_null NOT NULL,
    step text CONSTRAINT events_step_not_null NOT NULL,
    at timestamp with time zone CONSTRAINT events_at_not_null NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb CONSTRAINT events_detail_not_null NOT NULL,
    received_month date CONSTRAINT events_received_month_not_null NOT NULL
);

CREATE TABLE public.order_references (
    reference text NOT NULL,
    order_id text NOT NULL
);

CREATE TABLE public.orders (
    order_id text NOT NULL,
    workflow_id text NOT NULL,
    run_id text NOT NULL,
    first_run_id text NOT NULL,
    owner text NOT NULL,
    owner_uid text NOT NULL,
    content_hash text NOT NULL,
    customer_name text NOT NULL,
    customer_email text NOT NULL,
    items jsonb NOT NULL,
    address jsonb NOT NULL,
    payment_id text NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    adjustments jsonb DEFAULT '[]'::jsonb NOT NULL,
    reference text DEFAULT ''::text NOT NULL,
    step text NOT NULL,
    approved boolean DEFAULT false NOT NULL,
    canceled boolean DEFAULT false NOT NULL,
    cancel_reason text,
    dispatch_failed_reason text,
    last_error text,
    retries jsonb DEFAULT '{}'::jsonb NOT NULL,
    declared jsonb DEFAULT '{}'::jsonb NOT NULL,
    hold jsonb,
    payment_pending jsonb,
    recorded_seq bigint DEFAULT 0 NOT NULL,
    refund_pending boolean DEFAULT false NOT NULL,
    received_month date NOT NULL,
    version bigint NOT NULL,
    changed_xid xid8 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    deadline_at timestamp with time zone,
    completed_at timestamp with time zone,
    erased_at timestamp with time zone,
    pruned_at timestamp with time zone,
    CONSTRAINT orders_step_check CHECK ((step = ANY (ARRAY['receive'::text, 'validate'::text, 'manual_review'::text, 'charge'::text, 'shipping'::text, 'shipped'::text, 'delivered'::text, 'canceled'::text, 'failed'::text])))
);

CREATE TABLE public.payment_ids (
    payment_id text NOT NULL,
    order_id text NOT NULL
);

CREATE TABLE public.payments (
    payment_id text NOT NULL,
    order_id text NOT NULL,
    status text NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    reference text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT payments_amount_check CHECK ((amount >= 0)),
    CONSTRAINT payments_status_check CHECK ((status = ANY (ARRAY['INIT'::text, 'CHARGED'::text, 'FAILED'::text, 'VOIDED'::text, 'REFUNDING'::text, 'REFUNDED'::text])))
);

CREATE VIEW public.pending_payments AS
 SELECT payments.payment_id,
    payments.order_id,
    payments.status,
    payments.amount,
    payments.currency,
    payments.updated_at AS since
   FROM public.payments
  WHERE (payments.status = ANY (ARRAY['INIT'::text, 'REFUNDING'::text]))
UNION ALL
 SELECT p.payment_id,
    o.order_id,
    p.status,
    p.amount,
    p.currency,
    GREATEST(p.updated_at, o.completed_at) AS since
   FROM (public.orders o
     JOIN public.payments p ON (((p.payment_id = o.payment_id) AND (p.order_id = o.order_id))))
  WHERE (o.refund_pending AND (p.status <> ALL (ARRAY['INIT'::text, 'REFUNDING'::text])) AND public.payment_pending(o.step, p.status));

CREATE TABLE public.shipments (
    shipment_id text NOT NULL,
    order_id text NOT NULL,
    attempt integer NOT NULL,
    status text NOT NULL,
    carrier text,
    tracking_number text,
    attempts integer DEFAULT 0 NOT NULL,
    dispatch_failed_reason text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT shipments_attempt_check CHECK ((attempt >= 1)),
    CONSTRAINT shipments_attempts_check CHECK ((attempts >= 0)),
    CONSTRAINT shipments_status_check CHECK ((status = ANY (ARRAY['preparing'::text, 'prepared'::text, 'dispatched'::text, 'delivered'::text, 'parked'::text, 'canceled'::text, 'failed'::text])))
);

CREATE VIEW public.recorded_orders AS
 SELECT o.order_id,
    o.workflow_id,
    o.run_id,
    o.owner,
    o.owner_uid,
    o.content_hash,
    o.version,
    o.changed_xid,
    o.step,
    o.approved,
    o.canceled,
    o.cancel_reason,
    o.address,
    o.dispatch_failed_reason,
    o.last_error,
    o.retries,
    o.declared,
    o.created_at,
    o.updated_at,
    o.completed_at,
    o.payment_id,
    p.status AS payment_status,
    o.amount,
    o.currency,
    s.shipments,
    o.customer_email,
    o.reference,
    o.hold,
    o.payment_pending
   FROM ((public.orders o
     LEFT JOIN public.payments p ON (((p.payment_id = o.payment_id) AND (p.order_id = o.order_id))))
     CROSS JOIN LATERAL ( SELECT COALESCE(jsonb_agg(jsonb_build_object('id', shipments.shipment_id, 'status', shipments.status, 'carrier', shipments.carrier, 'tracking_number', shipments.tracking_number, 'attempts', shipments.attempts, 'dispatch_failed_reason', shipments.dispatch_failed_reason) ORDER BY shipments.attempt), '[]'::jsonb) AS shipments
           FROM public.shipments
          WHERE (shipments.order_id = o.order_id)) s);

CREATE TABLE public.schema_migrations (
    number integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    oldest integer
);

ALTER TABLE ONLY public.events ATTACH PARTITION public.events_default DEFAULT;

ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.event_ids'::regclass);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_order_id_key_received_month_key UNIQUE (order_id, key, received_month);

ALTER TABLE ONLY public.events_default
    ADD CONSTRAINT events_default_order_id_key_received_month_key UNIQUE (order_id, key, received_month);

ALTER TABLE ONLY public.events_default REPLICA IDENTITY USING INDEX events_default_order_id_key_received_month_key;

ALTER TABLE ONLY public.order_references
    ADD CONSTRAINT order_references_pkey PRIMARY KEY (reference);

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (order_id);

ALTER TABLE ONLY public.payment_ids
    ADD CONSTRAINT payment_ids_pkey PRIMARY KEY (payment_id);

ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_pkey PRIMARY KEY (payment_id);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (number);

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT shipments_order_id_attempt_key UNIQUE (order_id, attempt);

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT shipments_pkey PRIMARY KEY (shipment_id);

CREATE INDEX orders_by_change ON public.orders USING btree (changed_xid, order_id);

CREATE INDEX orders_by_customer ON public.orders USING btree (lower(customer_email), created_at, order_id) WHERE (customer_email <> ''::text);

CREATE INDEX orders_by_customer_and_step ON public.orders USING btree ((((step || ' '::text) || lower(customer_email))), created_at, order_id) WHERE (customer_email <> ''::text);

CREATE INDEX orders_by_deadline ON public.orders USING btree (deadline_at) WHERE ((deadline_at IS NOT NULL) AND (completed_at IS NULL));

CREATE INDEX orders_by_reference ON public.orders USING btree (reference, created_at, order_id) WHERE (reference <> ''::text);

CREATE INDEX orders_by_step ON public.orders USING btree (step, created_at, order_id);

CREATE INDEX orders_by_time ON public.orders USING btree (created_at, order_id);

CREATE INDEX orders_held ON public.orders USING btree (order_id) WHERE (hold IS NOT NULL);

CREATE INDEX orders_refund_pending ON public.orders USING btree (order_id) WHERE refund_pending;

CREATE INDEX orders_to_prune ON public.orders USING btree (completed_at) WHERE ((completed_at IS NOT NULL) AND (pruned_at IS NULL));

CREATE INDEX orders_unfinished ON public.orders USING btree (order_id) WHERE (completed_at IS NULL);

CREATE INDEX payments_pending ON public.payments USING btree (status, updated_at) WHERE (status = ANY (ARRAY['INIT'::text, 'REFUNDING'::text]));

ALTER INDEX public.events_order_id_key_received_month_key ATTACH PARTITION public.events_default_order_id_key_received_month_key;

CREATE TRIGGER events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.events FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

CREATE TRIGGER events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.events_default FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

CREATE TRIGGER set_order_version BEFORE INSERT OR UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.set_order_version();

ALTER TABLE public.events
    ADD CONSTRAINT events_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(order_id);

ALTER TABLE ONLY public.order_references
    ADD CONSTRAINT order_references_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(order_id);

ALTER TABLE ONLY public.payment_ids
    ADD CONSTRAINT payment_ids_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(order_id);

ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(order_id);

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT shipments_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(order_id);
