CREATE FUNCTION public.add_event_month(of_month date) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.detach_event_month(of_month date) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    execute format('alter table events detach partition %I', to_char(of_month, '"events_"YYYY_MM'));
end;
$$;

CREATE FUNCTION public.drop_event_month(of_month date) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.keep_as_told(kept text) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    execute format(
        'create trigger events_append_only before update or delete or truncate on %I'
        ' for each statement execute function refuse_change()', kept
    );
end;
$$;

CREATE FUNCTION public.money_owed(of_step text, payment text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select payment in ('INIT', 'REFUNDING') or payment = 'CHARGED' and of_step in ('canceled', 'failed')
$$;

CREATE FUNCTION public.order_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.record_progress(of_order text, progress jsonb, changed boolean DEFAULT false) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    if tg_op <> 'TRUNCATE' and current_setting('orderfleet.erasing', true) = 'on' then
        return null;
    end if;
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end;
$$;

CREATE FUNCTION public.tell_events(of_order text, told jsonb) RETURNS bigint
    LANGUAGE sql
    AS $$
    select tell_events(of_order, events_month, told) from orders where order_id = of_order;
$$;

CREATE FUNCTION public.tell_events(of_order text, of_month date, told jsonb) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
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

CREATE TABLE public.events (
    order_id text CONSTRAINT events_order_id_not_null1 NOT NULL,
    id bigint CONSTRAINT events_id_not_null1 NOT NULL,
    key text CONSTRAINT events_key_not_null1 NOT NULL,
    kind text CONSTRAINT events_kind_not_null1 NOT NULL,
    step text CONSTRAINT events_step_not_null1 NOT NULL,
    at timestamp with time zone CONSTRAINT events_at_not_null1 NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb CONSTRAINT events_detail_not_null1 NOT NULL,
    month date NOT NULL
)
PARTITION BY RANGE (month);

CREATE SEQUENCE public.event_ids
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.event_ids OWNED BY public.events.id;

CREATE TABLE public.events_before_months (
    order_id text CONSTRAINT events_order_id_not_null NOT NULL,
    id bigint DEFAULT NULL CONSTRAINT events_id_not_null NOT NULL,
    key text CONSTRAINT events_key_not_null NOT NULL,
    kind text CONSTRAINT events_kind_not_null NOT NULL,
    step text CONSTRAINT events_step_not_null NOT NULL,
    at timestamp with time zone CONSTRAINT events_at_not_null NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb CONSTRAINT events_detail_not_null NOT NULL,
    month date NOT NULL
);

CREATE TABLE public.events_without_month (
    order_id text CONSTRAINT events_order_id_not_null1 NOT NULL,
    id bigint DEFAULT nextval('public.event_ids'::regclass) CONSTRAINT events_id_not_null1 NOT NULL,
    key text CONSTRAINT events_key_not_null1 NOT NULL,
    kind text CONSTRAINT events_kind_not_null1 NOT NULL,
    step text CONSTRAINT events_step_not_null1 NOT NULL,
    at timestamp with time zone CONSTRAINT events_at_not_null1 NOT NULL,
    detail jsonb DEFAULT '{}'::jsonb CONSTRAINT events_detail_not_null1 NOT NULL,
    month date CONSTRAINT events_month_not_null NOT NULL
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
    amount numeric NOT NULL,
    currency text NOT NULL,
    step text NOT NULL,
    approved boolean DEFAULT false NOT NULL,
    canceled boolean DEFAULT false NOT NULL,
    cancel_reason text,
    dispatch_failed_reason text,
    last_error text,
    retries jsonb DEFAULT '{}'::jsonb NOT NULL,
    declared jsonb DEFAULT '{}'::jsonb NOT NULL,
    recorded_seq bigint DEFAULT 0 NOT NULL,
    version bigint NOT NULL,
    changed_xid xid8 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    completed_at timestamp with time zone,
    deadline_at timestamp with time zone,
    erased_at timestamp with time zone,
    pruned_at timestamp with time zone,
    owes boolean DEFAULT false NOT NULL,
    events_month date DEFAULT '-infinity'::date NOT NULL,
    CONSTRAINT orders_step_check CHECK ((step = ANY (ARRAY['receive'::text, 'validate'::text, 'manual_review'::text, 'charge'::text, 'shipping'::text, 'shipped'::text, 'delivered'::text, 'canceled'::text, 'failed'::text])))
);

CREATE TABLE public.payments (
    payment_id text NOT NULL,
    order_id text NOT NULL,
    status text NOT NULL,
    amount numeric NOT NULL,
    currency text NOT NULL,
    reference text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT payments_amount_check CHECK ((amount >= (0)::numeric)),
    CONSTRAINT payments_status_check CHECK ((status = ANY (ARRAY['INIT'::text, 'CHARGED'::text, 'FAILED'::text, 'VOIDED'::text, 'REFUNDING'::text, 'REFUNDED'::text])))
);

CREATE VIEW public.owed_payments AS
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
  WHERE (o.owes AND (p.status <> ALL (ARRAY['INIT'::text, 'REFUNDING'::text])) AND public.money_owed(o.step, p.status));

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
    CONSTRAINT shipments_status_check CHECK ((status = ANY (ARRAY['preparing'::text, 'prepared'::text, 'dispatched'::text, 'delivered'::text, 'canceled'::text, 'failed'::text])))
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
    o.customer_email
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

ALTER TABLE ONLY public.events ATTACH PARTITION public.events_before_months FOR VALUES FROM (MINVALUE) TO ('0001-01-01');

ALTER TABLE ONLY public.events ATTACH PARTITION public.events_without_month DEFAULT;

ALTER TABLE ONLY public.events ALTER COLUMN id SET DEFAULT nextval('public.event_ids'::regclass);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_order_id_key_month_key UNIQUE (order_id, key, month);

ALTER TABLE ONLY public.events_before_months
    ADD CONSTRAINT events_before_months_order_id_key_month_key UNIQUE (order_id, key, month);

ALTER TABLE ONLY public.events_before_months REPLICA IDENTITY USING INDEX events_before_months_order_id_key_month_key;

ALTER TABLE ONLY public.events_without_month
    ADD CONSTRAINT events_without_month_order_id_key_month_key UNIQUE (order_id, key, month);

ALTER TABLE ONLY public.events_without_month REPLICA IDENTITY USING INDEX events_without_month_order_id_key_month_key;

ALTER TABLE ONLY public.orders
    ADD CONSTRAINT orders_pkey PRIMARY KEY (order_id);

ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_pkey PRIMARY KEY (payment_id);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (number);

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT shipments_order_id_attempt_key UNIQUE (order_id, attempt);

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT shipments_pkey PRIMARY KEY (shipment_id);

CREATE INDEX orders_changed ON public.orders USING btree (changed_xid, order_id);

CREATE INDEX orders_newest ON public.orders USING btree (created_at, order_id);

CREATE INDEX orders_of_customer ON public.orders USING btree (lower(customer_email), created_at, order_id) WHERE (customer_email <> ''::text);

CREATE INDEX orders_of_customer_and_step ON public.orders USING btree ((((step || ' '::text) || lower(customer_email))), created_at, order_id) WHERE (customer_email <> ''::text);

CREATE INDEX orders_of_step ON public.orders USING btree (step, created_at, order_id);

CREATE INDEX orders_owing ON public.orders USING btree (order_id) WHERE owes;

CREATE INDEX orders_to_prune ON public.orders USING btree (completed_at) WHERE ((completed_at IS NOT NULL) AND (pruned_at IS NULL));

CREATE INDEX orders_unfinished ON public.orders USING btree (order_id) WHERE (completed_at IS NULL);

CREATE INDEX orders_with_deadline ON public.orders USING btree (deadline_at) WHERE ((deadline_at IS NOT NULL) AND (completed_at IS NULL));

CREATE INDEX payments_owed ON public.payments USING btree (status, updated_at) WHERE (status = ANY (ARRAY['INIT'::text, 'REFUNDING'::text]));

ALTER INDEX public.events_order_id_key_month_key ATTACH PARTITION public.events_before_months_order_id_key_month_key;

ALTER INDEX public.events_order_id_key_month_key ATTACH PARTITION public.events_without_month_order_id_key_month_key;

CREATE TRIGGER events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.events FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.events_before_months FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.events_without_month FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change();

CREATE TRIGGER orders_changed BEFORE INSERT OR UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.order_changed();

ALTER TABLE public.events
    ADD CONSTRAINT events_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(order_id);

ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(order_id);

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT shipments_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(order_id);
