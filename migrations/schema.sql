CREATE TYPE public.stock_changes AS (
	sku text,
	location text,
	pieces bigint
);

CREATE TYPE public.stock_places AS (
	sku text,
	location text
);

CREATE FUNCTION public.add_movements(of_kind text, lines jsonb, sign integer, of_owner text, of_key text, given_reason text, given_actor text) RETURNS void
    LANGUAGE plpgsql
    AS $$
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

CREATE TABLE public.payments (
    payment_id text NOT NULL,
    order_id text NOT NULL,
    status text NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    amount_step bigint DEFAULT 1 NOT NULL,
    reference text,
    capture text DEFAULT 'immediate'::text NOT NULL,
    method text DEFAULT ''::text NOT NULL,
    intent text DEFAULT 'open'::text NOT NULL,
    pending jsonb,
    authorized bigint DEFAULT 0 NOT NULL,
    released bigint DEFAULT 0 NOT NULL,
    captured bigint DEFAULT 0 NOT NULL,
    refunded bigint DEFAULT 0 NOT NULL,
    charged_back bigint DEFAULT 0 NOT NULL,
    open_refunds bigint DEFAULT 0 NOT NULL,
    refunding integer DEFAULT 0 NOT NULL,
    authorizing integer DEFAULT 0 NOT NULL,
    fenced_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT payments_amount_check CHECK ((amount >= 0)),
    CONSTRAINT payments_amount_step_check CHECK ((amount_step >= 1)),
    CONSTRAINT payments_capture_check CHECK ((capture = ANY (ARRAY['immediate'::text, 'onShipment'::text]))),
    CONSTRAINT payments_intent_check CHECK ((intent = ANY (ARRAY['open'::text, 'done'::text, 'refused'::text, 'voided'::text]))),
    CONSTRAINT payments_status_check CHECK ((status = ANY (ARRAY['INIT'::text, 'PENDING'::text, 'AUTHORIZED'::text, 'PARTIALLY_CAPTURED'::text, 'CHARGED'::text, 'PARTIALLY_REFUNDED'::text, 'REFUNDING'::text, 'REFUNDED'::text, 'FAILED'::text, 'VOIDED'::text])))
);

CREATE FUNCTION public.add_payment_entry(p public.payments, of_kind text, of_key text, of_number integer, of_amount bigint, of_currency text, of_source text, of_reference text, happened_at timestamp with time zone) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
declare
    suffix text := '';
begin
    if of_currency <> p.currency or exists (
        select from payment_entries
        where payment_id = p.payment_id and kind = of_kind and key = of_key
            and (number, amount) is distinct from (of_number, of_amount)
    ) then
        suffix := '#' || md5(of_number || ' ' || of_amount || ' ' || of_currency);
    end if;
    insert into payment_entries (payment_id, kind, key, number, amount, currency, source, reference, counts, at)
    values (p.payment_id, of_kind, of_key || suffix, of_number, of_amount, of_currency, of_source,
        nullif(of_reference, ''), suffix = '', happened_at)
    on conflict (payment_id, kind, key) do nothing;
    return found;
end;
$$;

CREATE FUNCTION public.adjust_stock(of_sku text, of_location text, pieces bigint, given_reason text, given_actor text, of_key text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.apply_payment_entry() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    e       payment_entries := new;
    is_first boolean := e.number = 1 and e.kind in ('authorized', 'captured', 'voided');
begin
    if not e.counts then
        return null;
    end if;
    if e.kind = 'authorized' then
        insert into payment_authorizations as a (payment_id, number, amount, reference, state)
        values (e.payment_id, e.number, e.amount, e.reference, 'authorized')
        on conflict (payment_id, number) do update
        set state = 'authorized', reference = coalesce(a.reference, excluded.reference)
        where a.state in ('open', 'refused');
    elsif e.kind in ('released', 'voided') then
        update payment_authorizations set state = 'closed' where payment_id = e.payment_id and number = e.number;
    elsif e.kind in ('captured', 'refunded') and e.key <> e.payment_id then
        update payment_intents set status = 'done', ended_at = e.recorded_at
        where payment_id = e.payment_id and key = e.key and status <> 'done';
    elsif e.kind = 'refund_reversed' then
        update payment_intents set status = 'refused', error = 'reversed by the provider', ended_at = e.recorded_at
        where payment_id = e.payment_id and key = e.key and kind = 'refund';
    end if;
    update payments set
        -- An immediate charge authorizes and captures in one.
        authorized = authorized + case
            when e.kind = 'authorized' or e.kind = 'captured' and capture = 'immediate' then e.amount else 0
        end,
        released = released + case when e.kind in ('released', 'voided') then e.amount else 0 end,
        captured = captured + case when e.kind = 'captured' then e.amount else 0 end,
        refunded = refunded + case e.kind when 'refunded' then e.amount when 'refund_reversed' then -e.amount else 0 end,
        charged_back = charged_back
            + case e.kind when 'charged_back' then e.amount when 'charge_back_reversed' then -e.amount else 0 end,
        intent = case
            when not is_first or intent = 'done' and e.kind = 'voided' then intent
            when e.kind = 'voided' then 'voided'
            else 'done'
        end,
        pending = case when e.kind in ('authorized', 'captured', 'voided') then null else pending end,
        reference = case
            when e.number = 1 and (e.kind = 'authorized' or e.kind = 'captured' and capture = 'immediate')
            then coalesce(reference, e.reference) else reference
        end
    where payment_id = e.payment_id;
    return null;
end;
$$;

CREATE FUNCTION public.authorization_key(of_payment text, of_number integer) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select case when of_number = 1 then of_payment else of_payment || '/' || of_number end
$$;

CREATE TABLE public.payment_authorizations (
    payment_id text NOT NULL,
    number integer NOT NULL,
    amount bigint NOT NULL,
    method text DEFAULT ''::text NOT NULL,
    reference text,
    expires_at timestamp with time zone,
    multiple_captures boolean DEFAULT false NOT NULL,
    state text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT payment_authorizations_amount_check CHECK ((amount >= 0)),
    CONSTRAINT payment_authorizations_number_check CHECK ((number >= 1)),
    CONSTRAINT payment_authorizations_state_check CHECK ((state = ANY (ARRAY['open'::text, 'authorized'::text, 'refused'::text, 'closed'::text])))
);

CREATE FUNCTION public.authorization_summary(p public.payments, a public.payment_authorizations) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
    select jsonb_build_object(
        'payment_id', p.payment_id, 'order_id', p.order_id, 'currency', p.currency, 'amount', a.amount,
        'method', a.method, 'number', a.number, 'reference', a.reference)
$$;

CREATE FUNCTION public.authorization_sums(p public.payments, of_number integer, OUT authorized bigint, OUT captured bigint, OUT released bigint, OUT refunded bigint, OUT open_captures bigint, OUT open_refunds bigint) RETURNS record
    LANGUAGE sql STABLE
    AS $$
    select
        coalesce(sum(amount) filter (where kind = 'authorized' or kind = 'captured' and p.capture = 'immediate'), 0),
        coalesce(sum(amount) filter (where kind = 'captured'), 0),
        coalesce(sum(amount) filter (where kind in ('released', 'voided')), 0),
        -- Of what was charged back, nothing can be refunded.
        coalesce(sum(amount) filter (where kind in ('refunded', 'charged_back')), 0)
            - coalesce(sum(amount) filter (where kind in ('refund_reversed', 'charge_back_reversed')), 0),
        (select coalesce(sum(amount), 0) from payment_intents
            where payment_id = p.payment_id and number = of_number and kind = 'capture' and status = 'open'),
        (select coalesce(sum(amount), 0) from payment_intents
            where payment_id = p.payment_id and number = of_number and kind = 'refund' and status = 'open')
    from payment_entries
    where payment_id = p.payment_id and number = of_number and counts
$$;

CREATE FUNCTION public.begin_authorization(of_payment text, of_order text, given_method text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
    p       payments;
    a       payment_authorizations;
    is_new  boolean := false;
begin
    select * into p from payments where payment_id = of_payment and order_id = of_order for no key update;
    if not found then
        return '{"refused": "unknown_payment"}';
    end if;
    if p.fenced_at is not null then
        return jsonb_build_object('refused', 'fenced', 'payment', payment_summary(p));
    end if;
    if p.captured >= p.amount then
        return jsonb_build_object('refused', 'captured', 'payment', payment_summary(p));
    end if;
    select * into a from payment_authorizations where payment_id = of_payment order by number desc limit 1;
    if a.state = 'authorized' then
        if a.expires_at <= now() and not exists (
            select from payment_intents
            where payment_id = of_payment and kind = 'capture' and number = a.number and status = 'open'
        ) then
            perform release_authorization(p, a.number);
        else
            return jsonb_build_object('refused', 'authorized', 'payment', payment_summary(p));
        end if;
    end if;
    if a.number is null and p.intent = 'open' then -- the first one has no row before its end
        return jsonb_build_object('refused', 'authorized', 'payment', payment_summary(p));
    end if;
    if a.state is distinct from 'open' then
        insert into payment_authorizations (payment_id, number, amount, method, state)
        values (of_payment, coalesce(a.number, 1) + 1, p.amount - p.captured, coalesce(nullif(given_method, ''), p.method), 'open')
        returning * into a;
        is_new := true;
    end if;
    return jsonb_build_object('payment', payment_summary(p), 'is_new', is_new,
        'authorization', authorization_summary(p, a));
end;
$$;

CREATE FUNCTION public.begin_capture(of_payment text, of_order text, given_amount bigint, given_method text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
    p       payments;
    a       payment_authorizations;
    i       payment_intents;
    sums    record;
    wanted  bigint;
    next    integer;
    idle    interval;
begin
    select * into p from payments where payment_id = of_payment and order_id = of_order for no key update;
    if not found then
        return '{"refused": "unknown_payment"}';
    end if;
    select * into i from payment_intents where payment_id = of_payment and kind = 'capture' and status = 'open';
    if found then
        if p.fenced_at is not null then
            return jsonb_build_object('refused', 'fenced', 'payment', payment_summary(p));
        end if;
        if i.amount <> coalesce(given_amount, i.amount) then
            return jsonb_build_object('refused', 'conflict', 'payment', payment_summary(p));
        end if;
        select * into a from payment_authorizations where payment_id = of_payment and number = i.number;
        next := split_part(substr(i.key, length(of_payment) + 2), '/', 3)::integer;
        idle := now() - i.asked_at;
        update payment_intents set asked_at = now() where payment_id = of_payment and key = i.key;
    else
        wanted := coalesce(given_amount, p.amount - p.captured);
        if p.captured >= p.amount and (p.captured > 0 or p.intent = 'done') then
            return jsonb_build_object('captured', true, 'payment', payment_summary(p));
        end if;
        if p.fenced_at is not null then
            return jsonb_build_object('refused', 'fenced', 'payment', payment_summary(p));
        end if;
        if p.captured + wanted > p.amount then
            return jsonb_build_object('refused', 'too_much', 'payment', payment_summary(p));
        end if;
        if given_amount % p.amount_step <> 0 then
            return jsonb_build_object('refused', 'step', 'payment', payment_summary(p));
        end if;
        select * into a from payment_authorizations
        where payment_id = of_payment and state = 'authorized' order by number desc limit 1;
        if not found then
            return jsonb_build_object('refused', 'not_authorized', 'payment', payment_summary(p));
        end if;
        if a.expires_at <= now() then
            return jsonb_build_object('refused', 'lapsed', 'payment', payment_summary(p),
                'authorization', authorization_summary(p, a));
        end if;
        if a.method <> given_method and given_method <> '' then
            return jsonb_build_object('refused', 'other_method', 'payment', payment_summary(p),
                'authorization', authorization_summary(p, a));
        end if;
        sums := authorization_sums(p, a.number);
        if sums.captured + wanted > sums.authorized - sums.released then
            return jsonb_build_object('refused', 'too_much', 'payment', payment_summary(p),
                'authorization', authorization_summary(p, a));
        end if;
        select count(*) + 1 into next from payment_intents
        where payment_id = of_payment and kind = 'capture' and number = a.number;
        insert into payment_intents (payment_id, key, kind, number, amount)
        values (of_payment, of_payment || '/' || a.number || '/capture/' || next, 'capture', a.number, wanted)
        returning * into i;
    end if;
    return jsonb_build_object('payment', payment_summary(p), 'authorization', authorization_summary(p, a),
        'expires_at', a.expires_at, 'idle', extract(epoch from idle)::float8,
        'capture', jsonb_build_object('payment', authorization_summary(p, a), 'number', next, 'amount', i.amount));
end;
$$;

CREATE FUNCTION public.begin_refund(of_payment text, of_order text, of_refund text, asked jsonb, of_reason text, undo boolean, progress jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
    p           payments;
    old_asked   jsonb;
    line        jsonb;
    chosen      int4multirange;
    part        int4range;
    lines       jsonb := '[]';
    steps       numeric;
    value       numeric := 0;
    pays        bigint;
    rest        bigint;
    a           record;
    given       bigint;
begin
    select * into p from payments where payment_id = of_payment and order_id = of_order for no key update;
    if not found then
        return '{"refused": "unknown_payment"}';
    end if;
    select i.asked into old_asked from payment_intents as i
    where payment_id = of_payment and kind = 'refund' and refund_id = of_refund limit 1;
    if found then
        if old_asked <> asked and not undo then
            return jsonb_build_object('refused', 'conflict', 'refundable', refundable(p), 'payment', payment_summary(p));
        end if;
        return refund_summary(p, of_refund);
    end if;
    if undo then
        update payments set fenced_at = now() where payment_id = of_payment and fenced_at is null returning * into p;
        select * into p from payments where payment_id = of_payment;
    elsif p.fenced_at is not null then
        return jsonb_build_object('refused', 'fenced', 'refundable', refundable(p), 'payment', payment_summary(p));
    end if;

    if jsonb_typeof(asked -> 'lines') = 'array' then
        for line in select * from jsonb_array_elements(asked -> 'lines') loop
            chosen := free_pieces(of_payment, line ->> 'line', (line ->> 'pieces')::integer, (line ->> 'qty')::integer);
            if chosen is null then
                return jsonb_build_object('refused', 'pieces', 'line', line ->> 'line', 'refundable', refundable(p),
                    'payment', payment_summary(p));
            end if;
            steps := div((line ->> 'amount')::numeric, p.amount_step);
            for part in select unnest(chosen) loop
                -- `pieces_value` in Python is the same.
                value := value + p.amount_step * (
                    div(steps * upper(part), (line ->> 'pieces')::numeric)
                    - div(steps * lower(part), (line ->> 'pieces')::numeric));
                lines := lines || jsonb_build_object('line', line ->> 'line', 'start', lower(part), 'end', upper(part));
            end loop;
        end loop;
        if value = 0 and p.amount > 0 then
            return jsonb_build_object('refused', 'no_value', 'refundable', refundable(p), 'payment', payment_summary(p));
        end if;
    else
        if (asked ->> 'amount')::bigint % p.amount_step <> 0 then
            return jsonb_build_object('refused', 'step', 'step', p.amount_step, 'refundable', refundable(p),
                'payment', payment_summary(p));
        end if;
        value := coalesce((asked ->> 'amount')::numeric, refundable(p));
        if value > refundable(p) then
            return jsonb_build_object('refused', 'too_much', 'refundable', refundable(p), 'payment', payment_summary(p));
        end if;
    end if;
    pays := least(value, refundable(p));
    if not undo then -- a fact can leave less than a step
        pays := pays - pays % p.amount_step;
    end if;
    if pays = 0 and not undo and p.amount > 0 then
        return jsonb_build_object('refused', 'too_much', 'refundable', refundable(p), 'payment', payment_summary(p));
    end if;

    -- The oldest captures first, one part for each authorization.
    rest := pays;
    for a in
        select number from payment_entries
        where payment_id = of_payment and kind = 'captured' and counts group by number order by number
    loop
        given := least(rest, greatest(0, (
            select s.captured - s.refunded - s.open_refunds from authorization_sums(p, a.number) as s)));
        if given > 0 then
            insert into payment_intents (
                payment_id, key, kind, number, amount, refund_id, asked, lines, shortfall, reason
            )
            values (
                of_payment, of_payment || '/refund/' || of_refund || '/' || a.number, 'refund', a.number, given, of_refund,
                asked, case when rest = pays then lines else '[]' end, case when rest = pays then value - pays else 0 end,
                of_reason
            );
            rest := rest - given;
        end if;
    end loop;
    perform record_progress(of_order, progress, true);
    return refund_summary((select payments from payments where payment_id = of_payment), of_refund) || '{"is_new": true}';
end;
$$;

CREATE FUNCTION public.claim_payment(of_payment text, of_order text, given jsonb) RETURNS public.payments
    LANGUAGE plpgsql
    AS $$
declare
    p payments;
begin
    select * into p from payments where payment_id = of_payment for no key update;
    if not found then
        insert into payments (payment_id, order_id, amount, currency, capture, method)
        select of_payment, of_order, (given ->> 'amount')::numeric, given ->> 'currency', given ->> 'capture',
            given ->> 'method'
        where not exists (select from payment_ids where payment_id = of_payment and order_id <> of_order)
        on conflict (payment_id) do nothing;
        select * into p from payments where payment_id = of_payment for no key update;
    end if;
    if p.order_id is distinct from of_order then
        return null;
    end if;
    return p;
end;
$$;

CREATE FUNCTION public.commit_stock(of_owner text, of_key text, given_lines jsonb, given_actor text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.count_open_authorizations() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    update payments set authorizing = open.number
    from (
        select count(*) as number
        from payment_authorizations
        where payment_id = new.payment_id and number > 1 and state = 'open'
    ) as open
    where payment_id = new.payment_id and authorizing <> open.number;
    return null;
end;
$$;

CREATE FUNCTION public.count_open_refunds() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    update payments set refunding = open.number, open_refunds = open.amount
    from (
        select count(*) as number, coalesce(sum(amount), 0) as amount
        from payment_intents
        where payment_id = new.payment_id and kind = 'refund' and status = 'open'
    ) as open
    where payment_id = new.payment_id and (refunding, open_refunds) is distinct from (open.number, open.amount);
    return null;
end;
$$;

CREATE FUNCTION public.count_stock(counts jsonb, given_reason text, given_actor text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.declare_reservation(request jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE TABLE public.payment_intents (
    payment_id text NOT NULL,
    key text NOT NULL,
    kind text NOT NULL,
    number integer DEFAULT 1 NOT NULL,
    amount bigint NOT NULL,
    status text DEFAULT 'open'::text NOT NULL,
    refund_id text,
    asked jsonb DEFAULT '{}'::jsonb NOT NULL,
    lines jsonb DEFAULT '[]'::jsonb NOT NULL,
    shortfall bigint DEFAULT 0 NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    error text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    asked_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT payment_intents_amount_check CHECK ((amount >= 0)),
    CONSTRAINT payment_intents_kind_check CHECK ((kind = ANY (ARRAY['capture'::text, 'refund'::text]))),
    CONSTRAINT payment_intents_status_check CHECK ((status = ANY (ARRAY['open'::text, 'done'::text, 'refused'::text])))
);

CREATE FUNCTION public.end_payment_intent(p public.payments, of_key text, entry_kind text, given_reference text, given_error text) RETURNS public.payment_intents
    LANGUAGE plpgsql
    AS $$
declare
    i payment_intents;
begin
    select * into strict i from payment_intents where payment_id = p.payment_id and key = of_key;
    if given_error is null then
        perform add_payment_entry(p, entry_kind, of_key, i.number, i.amount, p.currency, 'order', given_reference, now());
    else
        update payment_intents set status = 'refused', error = given_error, ended_at = now()
        where payment_id = p.payment_id and key = of_key and status = 'open';
    end if;
    return i;
end;
$$;

CREATE FUNCTION public.ended_by(before public.payments, after public.payments, refund_before text, refund_after text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select jsonb_build_object(
        'decided', before.status <> after.status
            and before.status not in ('REFUNDING', 'PARTIALLY_REFUNDED', 'REFUNDED'),
        'refund', case when refund_before <> refund_after then nullif(refund_after, 'open') end)
$$;

CREATE FUNCTION public.ensure_stock_levels(lines jsonb) RETURNS void
    LANGUAGE sql
    AS $$
    insert into stock_levels (sku, location)
    select distinct sku, location from jsonb_to_recordset(lines) as given (sku text, location text) order by sku, location
    on conflict do nothing;
    select lock_stock_levels(array_agg(sku), array_agg(location))
    from jsonb_to_recordset(lines) as given (sku text, location text);
$$;

CREATE FUNCTION public.erase_payment(of_payment text, of_order text) RETURNS void
    LANGUAGE sql
    AS $$
    update payments set method = '', pending = pending - 'url'
    where payment_id = of_payment and order_id = of_order and (method <> '' or pending is not null);

    update payment_authorizations set method = ''
    where payment_id = of_payment and method <> '';

    update payment_intents set
        reason = case when reason <> '' then 'erased' else '' end,
        error = case when error is not null then 'erased' end
    where payment_id = of_payment and (reason <> '' or error is not null);
$$;

CREATE FUNCTION public.fence_payment(of_payment text, of_order text, given jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
    is_new  boolean := not exists (select from payments where payment_id = of_payment);
    p       payments := claim_payment(of_payment, of_order, given);
    after   payments;
    open    jsonb;
begin
    if p.payment_id is null then
        return null;
    end if;
    -- The customer is to pay no more; a payment is PENDING without a page, too.
    update payments set fenced_at = now(), pending = pending - 'url'
    where payment_id = of_payment and fenced_at is null;
    select * into after from payments where payment_id = of_payment;
    select coalesce(jsonb_agg(authorization_summary(p, a) order by a.number), '[]') into open
    from payment_authorizations as a
    cross join lateral authorization_sums(p, a.number) as s
    where a.payment_id = of_payment and (a.state <> 'closed' or s.captured > s.refunded + s.open_refunds);
    if p.capture = 'immediate' or p.intent in ('open', 'refused') then -- the first one, which has no row
        open := jsonb_build_array(jsonb_build_object(
            'payment_id', of_payment, 'order_id', of_order, 'currency', p.currency, 'amount', p.amount,
            'method', p.method, 'number', 1, 'reference', p.reference)) || open;
    end if;
    perform record_progress(of_order, '{"seq": 0, "events": []}', is_new or p.status <> after.status);
    return jsonb_build_object('payment', payment_summary(after), 'open', open, 'refundable', refundable(after));
end;
$$;

CREATE FUNCTION public.finish_capture(of_payment text, of_order text, of_key text, given_reference text, given_error text, has_lapsed boolean, progress jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
    p   payments;
    i   payment_intents;
begin
    select * into p from payments where payment_id = of_payment and order_id = of_order for no key update;
    if not found then
        return null;
    end if;
    i := end_payment_intent(p, of_key, 'captured', given_reference, given_error);
    if has_lapsed or given_error is null and not exists (
        select from payment_authorizations where payment_id = of_payment and number = i.number and multiple_captures
    ) then
        perform release_authorization(p, i.number);
    end if;
    return finish_payment_write(p, progress);
end;
$$;

CREATE FUNCTION public.finish_payment(of_payment text, of_order text, given jsonb, progress jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
    p           payments := claim_payment(of_payment, of_order, given);
    of_number   integer := coalesce((given ->> 'number')::integer, 1);
    of_key      text := authorization_key(of_payment, of_number);
begin
    if p.payment_id is null then
        return null;
    end if;
    case given ->> 'status'
    when 'CHARGED' then
        perform add_payment_entry(p, 'captured', of_key, of_number, (given ->> 'amount')::bigint, p.currency, 'order',
            given ->> 'reference', now());
    when 'AUTHORIZED' then
        insert into payment_authorizations as a (
            payment_id, number, amount, method, reference, expires_at, multiple_captures, state
        )
        values (of_payment, of_number, (given ->> 'amount')::bigint, given ->> 'method', given ->> 'reference',
            (given ->> 'expires_at')::timestamptz, coalesce((given ->> 'multiple_captures')::boolean, false), 'authorized')
        on conflict (payment_id, number) do update set
            reference = coalesce(a.reference, excluded.reference),
            expires_at = coalesce(a.expires_at, excluded.expires_at),
            multiple_captures = a.multiple_captures or excluded.multiple_captures;
        perform add_payment_entry(p, 'authorized', of_key, of_number, (given ->> 'amount')::bigint, p.currency, 'order',
            given ->> 'reference', now());
    when 'PENDING' then
        update payments set pending = given -> 'pending', reference = coalesce(reference, given ->> 'reference')
        where payment_id = of_payment and of_number = 1 and intent = 'open';
        update payments set pending = given -> 'pending'
        where payment_id = of_payment and of_number > 1 and authorizing > 0;
        update payment_authorizations set reference = coalesce(reference, given ->> 'reference')
        where payment_id = of_payment and number = of_number and state = 'open';
    when 'FAILED' then
        update payments set intent = 'refused' where payment_id = of_payment and of_number = 1 and intent = 'open';
        update payments set pending = null where payment_id = of_payment and pending is not null;
        update payment_authorizations set state = 'refused'
        where payment_id = of_payment and number = of_number and state = 'open';
    when 'VOIDED' then
        perform record_void(p, of_number, coalesce(given ->> 'outcome', 'never_charged'));
    end case;
    return jsonb_build_object('is_new', false) || finish_payment_write(p, progress);
end;
$$;

CREATE FUNCTION public.finish_payment_write(before public.payments, progress jsonb, of_refund text DEFAULT NULL::text, refund_before text DEFAULT 'open'::text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
    after   payments;
    refund  text := 'open';
begin
    select * into after from payments where payment_id = before.payment_id;
    if of_refund is not null then
        refund := refund_status(before.payment_id, of_refund);
    elsif after.refunded > before.refunded then
        refund := 'done';
    end if;
    perform record_progress(before.order_id, progress, before is distinct from after);
    return ended_by(before, after, refund_before, refund) || payment_summary(after);
end;
$$;

CREATE FUNCTION public.finish_refund(of_payment text, of_order text, of_key text, given_reference text, given_error text, progress jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
    p       payments;
    refund  text;
    before  text;
begin
    select * into p from payments where payment_id = of_payment and order_id = of_order for no key update;
    if not found then
        return null;
    end if;
    select refund_id into refund from payment_intents where payment_id = of_payment and key = of_key;
    before := refund_status(of_payment, refund);
    perform end_payment_intent(p, of_key, 'refunded', given_reference, given_error);
    return finish_payment_write(p, progress, refund, before);
end;
$$;

CREATE FUNCTION public.free_pieces(of_payment text, of_line text, pieces integer, wanted integer) RETURNS int4multirange
    LANGUAGE plpgsql STABLE
    AS $$
declare
    free    int4multirange;
    taken   int4multirange := '{}';
    part    int4range;
    left_over integer := wanted;
begin
    select int4multirange(int4range(0, pieces)) - coalesce(
        range_agg(int4range((line ->> 'start')::integer, (line ->> 'end')::integer)), '{}')
    into free
    from payment_intents
    cross join jsonb_array_elements(lines) as line
    where payment_id = of_payment and kind = 'refund' and status <> 'refused' and line ->> 'line' = of_line;
    for part in select unnest(free) as each order by each desc loop
        exit when left_over = 0;
        taken := taken + int4multirange(int4range(greatest(lower(part), upper(part) - left_over), upper(part)));
        left_over := left_over - least(left_over, upper(part) - lower(part));
    end loop;
    return case when left_over = 0 then taken end;
end;
$$;

CREATE FUNCTION public.guard_payment_intent() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
declare
    p       payments;
    a       record;
begin
    select * into strict p from payments where payment_id = new.payment_id for no key update;
    a := authorization_sums(p, new.number);
    if new.kind = 'capture' and (
        p.fenced_at is not null
        or a.captured + a.open_captures + new.amount > a.authorized - a.released
        or p.captured + new.amount + (
            select coalesce(sum(amount), 0) from payment_intents
            where payment_id = new.payment_id and kind = 'capture' and status = 'open'
        ) > p.amount
    ) then
        raise exception 'payment %: a capture of % is more than its authorization or its order leaves', p.payment_id,
            new.amount using errcode = 'check_violation';
    end if;
    if new.kind = 'refund' and (
        new.amount > refundable(p) or new.amount > a.captured - a.refunded - a.open_refunds
    ) then
        raise exception 'payment %: a refund of % is more than can be refunded', p.payment_id, new.amount
            using errcode = 'check_violation';
    end if;
    return new;
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

CREATE FUNCTION public.is_same_movement(of_key text, of_kind text, of_owner text, lines jsonb, sign integer) RETURNS boolean
    LANGUAGE sql STABLE
    AS $$
    select case when count(m.id) > 0 then bool_and(coalesce(m.qty = w.qty and m.owner = of_owner, false)) end
    from (select * from stock_movements where key = of_key and kind = of_kind) as m
    full join (
        select coalesce(line, '') as line, sku, location, sum(qty) * sign as qty
        from jsonb_to_recordset(lines) as given (line text, sku text, location text, qty bigint)
        group by 1, sku, location
    ) as w using (line, sku, location)
$$;

CREATE FUNCTION public.lock_stock_levels(skus text[], locations text[]) RETURNS integer
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.lock_stock_owners(owners text[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
begin
    insert into stock_owners (owner) select distinct each from unnest(owners) as each order by each
    on conflict do nothing;
    perform from stock_owners where owner = any(owners) order by owner for no key update;
end;
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

CREATE FUNCTION public.pass_stock_gate(of_owner text, lines jsonb, passed boolean) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.payment_pending(of_step text, payment_status text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select payment_status in ('INIT', 'PENDING', 'REFUNDING')
        or payment_status in ('AUTHORIZED', 'PARTIALLY_CAPTURED', 'CHARGED', 'PARTIALLY_REFUNDED')
            and of_step in ('canceled', 'failed')
$$;

CREATE FUNCTION public.payment_status(p public.payments) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select case
        when p.refunding > 0 then 'REFUNDING'
        when p.captured > 0 then case
            when p.captured <= p.refunded + p.charged_back then 'REFUNDED'
            when p.refunded > 0 then 'PARTIALLY_REFUNDED'
            when p.captured + p.released < p.authorized then 'PARTIALLY_CAPTURED'
            else 'CHARGED'
        end
        when p.amount = 0 and p.intent = 'done' then case when p.fenced_at is null then 'CHARGED' else 'REFUNDED' end
        when p.released < p.authorized then 'AUTHORIZED'
        when p.pending is not null then 'PENDING'
        when p.authorizing > 0 then 'INIT'
        when p.authorized > 0 or p.intent = 'voided' then 'VOIDED'
        when p.intent = 'refused' then 'FAILED'
        else 'INIT'
    end
$$;

CREATE FUNCTION public.payment_summary(p public.payments) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
    select jsonb_build_object(
        'payment_id', p.payment_id, 'order_id', p.order_id, 'status', p.status, 'reference', p.reference,
        'fenced', p.fenced_at is not null,
        'version', (select version from orders where order_id = p.order_id),
        'amounts', jsonb_build_object(
            'authorized', p.authorized - p.released, 'captured', p.captured, 'refunded', p.refunded)
    )
$$;

CREATE FUNCTION public.record_payment_fact(of_payment text, fact jsonb, progress jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
declare
    p               payments;
    after           payments;
    is_new          boolean;
    of_refund       text;
    refund_before   text;
begin
    select * into p from payments where payment_id = of_payment for no key update;
    if not found then
        return null;
    end if;
    select refund_id into of_refund from payment_intents where payment_id = of_payment and key = fact ->> 'key';
    refund_before := refund_status(of_payment, of_refund);
    is_new := add_payment_entry(p, fact ->> 'kind', fact ->> 'key', (fact ->> 'number')::integer,
        (fact ->> 'amount')::bigint, fact ->> 'currency', fact ->> 'source', fact ->> 'reference',
        (fact ->> 'at')::timestamptz);
    select * into after from payments where payment_id = of_payment;
    -- The event of a fact that was recorded before is another source's.
    if is_new then
        perform record_progress(p.order_id, progress, is_new);
    end if;
    return jsonb_build_object('is_new', is_new) || payment_summary(after)
        || ended_by(p, after, refund_before, refund_status(of_payment, of_refund));
end;
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

CREATE FUNCTION public.record_void(p public.payments, of_number integer, outcome text) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
    of_key  text := authorization_key(p.payment_id, of_number);
    a       payment_authorizations;
    sums    record;
    made    record;
begin
    select * into a from payment_authorizations where payment_id = p.payment_id and number = of_number;
    if outcome = 'refunded' then
        if p.capture = 'immediate' then
            select of_key as key, p.amount as amount into made;
        else
            select key, amount into made from payment_intents
            where payment_id = p.payment_id and number = of_number and kind = 'capture' and status = 'open';
            if not found then
                select p.payment_id || '/' || of_number || '/capture/1' as key, coalesce(a.amount, p.amount) as amount
                into made;
            end if;
        end if;
        if (authorization_sums(p, of_number)).captured = 0 then
            if p.capture <> 'immediate' then
                perform add_payment_entry(p, 'authorized', of_key, of_number, coalesce(a.amount, p.amount), p.currency,
                    'order', null, now());
            end if;
            perform add_payment_entry(p, 'captured', made.key, of_number, made.amount, p.currency, 'order', null, now());
        end if;
        sums := authorization_sums(p, of_number);
        if sums.captured > sums.refunded + sums.open_refunds then
            perform add_payment_entry(p, 'refunded', of_key || '/void', of_number,
                sums.captured - sums.refunded - sums.open_refunds, p.currency, 'order', null, now());
        end if;
    end if;
    update payment_intents set status = 'refused', error = 'voided', ended_at = now()
    where payment_id = p.payment_id and number = of_number and kind = 'capture' and status = 'open';
    sums := authorization_sums(p, of_number);
    -- One that never held or took money gets an entry as well, which closes its payment id.
    if sums.authorized = 0 or sums.captured + sums.released < sums.authorized then
        perform add_payment_entry(p, 'voided', of_key || '/void', of_number,
            sums.authorized - sums.captured - sums.released, p.currency, 'order', null, now());
    end if;
    update payment_authorizations set state = 'closed' where payment_id = p.payment_id and number = of_number;
end;
$$;

CREATE FUNCTION public.refund_status(of_payment text, of_refund text) RETURNS text
    LANGUAGE sql STABLE
    AS $$
    select case when bool_or(status = 'open') then 'open' when bool_or(status = 'refused') then 'refused' else 'done' end
    from payment_intents
    where payment_id = of_payment and kind = 'refund' and refund_id = of_refund
$$;

CREATE FUNCTION public.refund_summary(p public.payments, of_refund text) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $_$
    select jsonb_build_object(
        'refundable', refundable(p),
        'amount', coalesce(sum(i.amount), 0),
        'shortfall', coalesce(sum(i.shortfall), 0),
        'lines', coalesce(jsonb_path_query_array(jsonb_agg(i.lines), '$[*][*]'), '[]'),
        'status', refund_status(p.payment_id, of_refund),
        'parts', coalesce(jsonb_agg(jsonb_build_object(
            'refund_id', of_refund, 'number', i.number, 'amount', i.amount,
            'payment', jsonb_build_object(
                'payment_id', p.payment_id, 'order_id', p.order_id, 'currency', p.currency,
                'amount', coalesce(a.amount, p.amount), 'method', coalesce(a.method, p.method), 'number', i.number,
                'reference', coalesce(a.reference, p.reference))
        ) order by i.number) filter (where i.status = 'open'), '[]'),
        'payment', payment_summary(p))
    from payment_intents as i
    left join payment_authorizations as a on a.payment_id = i.payment_id and a.number = i.number
    where i.payment_id = p.payment_id and i.kind = 'refund' and i.refund_id = of_refund
$_$;

CREATE FUNCTION public.refundable(p public.payments) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select greatest(0, p.captured - p.refunded - p.charged_back - p.open_refunds)
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

CREATE FUNCTION public.release_authorization(p public.payments, of_number integer) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
    sums record := authorization_sums(p, of_number);
begin
    if sums.captured + sums.released < sums.authorized then
        perform add_payment_entry(p, 'released', authorization_key(p.payment_id, of_number), of_number,
            sums.authorized - sums.captured - sums.released, p.currency, 'order', null, now());
    end if;
    update payment_authorizations set state = 'closed' where payment_id = p.payment_id and number = of_number;
end;
$$;

CREATE FUNCTION public.remove_expired_stock(most integer) RETURNS integer
    LANGUAGE sql
    AS $$
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

CREATE FUNCTION public.reserve_pieces(changes public.stock_changes[]) RETURNS void
    LANGUAGE plpgsql
    AS $$
declare
    c stock_changes;
begin
    foreach c in array coalesce(changes, '{}') loop
        update stock_levels set reserved = reserved + c.pieces, updated_at = clock_timestamp()
        where sku = c.sku and location = c.location and c.pieces <> 0;
    end loop;
end;
$$;

CREATE FUNCTION public.reserve_stock(requests jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.restock_stock(of_owner text, of_key text, lines jsonb, given_reason text, given_actor text) RETURNS jsonb
    LANGUAGE plpgsql
    AS $$
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

CREATE FUNCTION public.set_payment_reference(of_payment text, of_number integer, given text) RETURNS text
    LANGUAGE plpgsql
    AS $$
declare
    kept text;
begin
    if of_number = 1 then
        update payments set reference = coalesce(reference, given) where payment_id = of_payment
        returning reference into kept;
    else
        update payment_authorizations set reference = coalesce(reference, given)
        where payment_id = of_payment and number = of_number
        returning reference into kept;
    end if;
    insert into payment_references (reference, payment_id, number)
    select kept, of_payment, of_number where kept is not null
    on conflict do nothing;
    return kept;
end;
$$;

CREATE FUNCTION public.set_payment_status() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
    new.status := payment_status(new);
    if tg_op = 'UPDATE' and new.status <> old.status then
        new.updated_at := now();
    end if;
    return new;
end;
$$;

CREATE FUNCTION public.unknown_locations(lines jsonb) RETURNS jsonb
    LANGUAGE sql STABLE
    AS $$
    select jsonb_agg(distinct location)
    from jsonb_to_recordset(lines) as given (location text)
    where not exists (select from stock_locations as l where l.location = given.location)
$$;

CREATE TABLE public.payment_entries (
    payment_id text NOT NULL,
    kind text NOT NULL,
    key text NOT NULL,
    number integer DEFAULT 1 NOT NULL,
    amount bigint NOT NULL,
    currency text NOT NULL,
    source text NOT NULL,
    reference text,
    counts boolean DEFAULT true NOT NULL,
    at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT payment_entries_amount_check CHECK ((amount >= 0)),
    CONSTRAINT payment_entries_kind_check CHECK ((kind = ANY (ARRAY['authorized'::text, 'captured'::text, 'released'::text, 'voided'::text, 'refunded'::text, 'refund_reversed'::text, 'charged_back'::text, 'charge_back_reversed'::text]))),
    CONSTRAINT payment_entries_source_check CHECK ((source = ANY (ARRAY['order'::text, 'webhook'::text, 'reconciliation'::text])))
);

CREATE VIEW public.derived_payments AS
 SELECT derived.payment_id,
    public.payment_status(derived.*) AS status,
    derived.authorized,
    derived.released,
    derived.captured,
    derived.refunded,
    derived.charged_back,
    derived.open_refunds,
    derived.refunding,
    derived.authorizing
   FROM ((((public.payments stored
     CROSS JOIN LATERAL ( SELECT COALESCE(sum(payment_entries.amount) FILTER (WHERE ((payment_entries.kind = 'authorized'::text) OR ((payment_entries.kind = 'captured'::text) AND (stored.capture = 'immediate'::text)))), (0)::numeric) AS authorized,
            COALESCE(sum(payment_entries.amount) FILTER (WHERE (payment_entries.kind = ANY (ARRAY['released'::text, 'voided'::text]))), (0)::numeric) AS released,
            COALESCE(sum(payment_entries.amount) FILTER (WHERE (payment_entries.kind = 'captured'::text)), (0)::numeric) AS captured,
            COALESCE(sum(
                CASE payment_entries.kind
                    WHEN 'refunded'::text THEN payment_entries.amount
                    WHEN 'refund_reversed'::text THEN (- payment_entries.amount)
                    ELSE NULL::bigint
                END), (0)::numeric) AS refunded,
            COALESCE(sum(
                CASE payment_entries.kind
                    WHEN 'charged_back'::text THEN payment_entries.amount
                    WHEN 'charge_back_reversed'::text THEN (- payment_entries.amount)
                    ELSE NULL::bigint
                END), (0)::numeric) AS charged_back
           FROM public.payment_entries
          WHERE ((payment_entries.payment_id = stored.payment_id) AND payment_entries.counts)) e)
     CROSS JOIN LATERAL ( SELECT COALESCE(sum(payment_intents.amount), (0)::numeric) AS open_refunds,
            count(*) AS refunding
           FROM public.payment_intents
          WHERE ((payment_intents.payment_id = stored.payment_id) AND (payment_intents.kind = 'refund'::text) AND (payment_intents.status = 'open'::text))) i)
     CROSS JOIN LATERAL ( SELECT count(*) AS authorizing
           FROM public.payment_authorizations
          WHERE ((payment_authorizations.payment_id = stored.payment_id) AND (payment_authorizations.number > 1) AND (payment_authorizations.state = 'open'::text))) a)
     CROSS JOIN LATERAL jsonb_populate_record(stored.*, jsonb_build_object('authorized', e.authorized, 'released', e.released, 'captured', e.captured, 'refunded', e.refunded, 'charged_back', e.charged_back, 'open_refunds', i.open_refunds, 'refunding', i.refunding, 'authorizing', a.authorizing)) derived(payment_id, order_id, status, amount, currency, amount_step, reference, capture, method, intent, pending, authorized, released, captured, refunded, charged_back, open_refunds, refunding, authorizing, fenced_at, created_at, updated_at));

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

CREATE VIEW public.open_authorizations_by_day AS
 SELECT ((a.created_at AT TIME ZONE 'utc'::text))::date AS day,
    p.currency,
    count(*) AS payments,
    sum(((s.authorized - s.captured) - s.released)) AS amount
   FROM ((public.payments p
     JOIN public.payment_authorizations a ON ((a.payment_id = p.payment_id)))
     CROSS JOIN LATERAL public.authorization_sums(p.*, a.number) s(authorized, captured, released, refunded, open_captures, open_refunds))
  WHERE ((p.authorized > (p.captured + p.released)) AND (s.authorized > (s.captured + s.released)))
  GROUP BY (((a.created_at AT TIME ZONE 'utc'::text))::date), p.currency;

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

CREATE TABLE public.payment_differences (
    payment_id text NOT NULL,
    kind text NOT NULL,
    key text NOT NULL,
    order_id text NOT NULL,
    number integer NOT NULL,
    currency text NOT NULL,
    ledger_amount bigint,
    provider_amount bigint,
    reference text,
    safe boolean NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    repaired_at timestamp with time zone,
    resolved_at timestamp with time zone
);

CREATE VIEW public.payment_discrepancies AS
 SELECT payments.payment_id,
    payments.order_id,
    'captured_more_than_authorized'::text AS kind,
    ((payments.captured + payments.released) - payments.authorized) AS amount,
    payments.currency
   FROM public.payments
  WHERE ((payments.captured + payments.released) > payments.authorized)
UNION ALL
 SELECT payments.payment_id,
    payments.order_id,
    'captured_more_than_ordered'::text AS kind,
    (payments.captured - payments.amount) AS amount,
    payments.currency
   FROM public.payments
  WHERE (payments.captured > payments.amount)
UNION ALL
 SELECT payments.payment_id,
    payments.order_id,
    'returned_more_than_captured'::text AS kind,
    ((payments.refunded + payments.charged_back) - payments.captured) AS amount,
    payments.currency
   FROM public.payments
  WHERE ((payments.refunded + payments.charged_back) > payments.captured)
UNION ALL
 SELECT e.payment_id,
    p.order_id,
    'contradicting_entry'::text AS kind,
    e.amount,
    e.currency
   FROM (public.payment_entries e
     JOIN public.payments p ON ((p.payment_id = e.payment_id)))
  WHERE (NOT e.counts);

CREATE TABLE public.payment_ids (
    payment_id text NOT NULL,
    order_id text NOT NULL
);

CREATE TABLE public.payment_reconciliations (
    name text NOT NULL,
    completed_at timestamp with time zone NOT NULL
);

CREATE TABLE public.payment_references (
    reference text NOT NULL,
    payment_id text NOT NULL,
    number integer NOT NULL
);

CREATE VIEW public.payment_totals_by_day AS
 SELECT ((at AT TIME ZONE 'utc'::text))::date AS day,
    currency,
    COALESCE(sum(amount) FILTER (WHERE (kind = 'captured'::text)), (0)::numeric) AS captured,
    COALESCE(sum(
        CASE kind
            WHEN 'refunded'::text THEN amount
            WHEN 'refund_reversed'::text THEN (- amount)
            ELSE NULL::bigint
        END), (0)::numeric) AS refunded,
    COALESCE(sum(
        CASE kind
            WHEN 'charged_back'::text THEN amount
            WHEN 'charge_back_reversed'::text THEN (- amount)
            ELSE NULL::bigint
        END), (0)::numeric) AS charged_back
   FROM public.payment_entries
  WHERE (counts AND (kind <> ALL (ARRAY['authorized'::text, 'released'::text, 'voided'::text])))
  GROUP BY (((at AT TIME ZONE 'utc'::text))::date), currency;

CREATE VIEW public.pending_payments AS
 SELECT payments.payment_id,
    payments.order_id,
    payments.status,
    payments.amount,
    payments.currency,
    GREATEST(payments.updated_at, payments.fenced_at) AS since,
    (payments.fenced_at IS NOT NULL) AS is_undone
   FROM public.payments
  WHERE (payments.status = ANY (ARRAY['INIT'::text, 'PENDING'::text, 'REFUNDING'::text]))
UNION ALL
 SELECT p.payment_id,
    o.order_id,
    p.status,
    p.amount,
    p.currency,
    GREATEST(p.updated_at, o.completed_at) AS since,
    true AS is_undone
   FROM (public.orders o
     JOIN public.payments p ON (((p.payment_id = o.payment_id) AND (p.order_id = o.order_id))))
  WHERE (o.refund_pending AND (p.status <> ALL (ARRAY['INIT'::text, 'PENDING'::text, 'REFUNDING'::text])) AND public.payment_pending(o.step, p.status));

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
    o.payment_pending,
    (p.authorized - p.released) AS authorized,
    p.captured,
    p.refunded
   FROM ((public.orders o
     LEFT JOIN public.payments p ON (((p.payment_id = o.payment_id) AND (p.order_id = o.order_id))))
     CROSS JOIN LATERAL ( SELECT COALESCE(jsonb_agg(jsonb_build_object('id', shipments.shipment_id, 'status', shipments.status, 'carrier', shipments.carrier, 'tracking_number', shipments.tracking_number, 'attempts', shipments.attempts, 'dispatch_failed_reason', shipments.dispatch_failed_reason) ORDER BY shipments.attempt), '[]'::jsonb) AS shipments
           FROM public.shipments
          WHERE (shipments.order_id = o.order_id)) s);

CREATE VIEW public.recorded_payments AS
 SELECT p.payment_id,
    p.order_id,
    p.status,
    p.capture,
    p.method,
    p.amount,
    p.currency,
    p.reference,
    p.pending,
    (p.authorized - p.released) AS authorized,
    p.captured,
    p.refunded,
    p.charged_back,
    p.open_refunds,
    public.refundable(p.*) AS refundable,
    p.fenced_at,
    p.created_at,
    p.updated_at,
    o.created_at AS ordered_at,
    ( SELECT COALESCE(jsonb_agg((to_jsonb(a.*) - 'payment_id'::text) ORDER BY a.number), '[]'::jsonb) AS "coalesce"
           FROM public.payment_authorizations a
          WHERE (a.payment_id = p.payment_id)) AS authorizations,
    ( SELECT COALESCE(jsonb_agg((to_jsonb(e.*) - 'payment_id'::text) ORDER BY e.recorded_at, e.at, e.key), '[]'::jsonb) AS "coalesce"
           FROM public.payment_entries e
          WHERE (e.payment_id = p.payment_id)) AS entries,
    ( SELECT COALESCE(jsonb_agg((to_jsonb(i.*) - 'payment_id'::text) ORDER BY i.created_at, i.key), '[]'::jsonb) AS "coalesce"
           FROM public.payment_intents i
          WHERE (i.payment_id = p.payment_id)) AS intents
   FROM (public.payments p
     JOIN public.orders o ON ((o.order_id = p.order_id)));

CREATE TABLE public.schema_migrations (
    number integer NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL,
    oldest integer
);

CREATE TABLE public.stock_levels (
    sku text NOT NULL COLLATE pg_catalog."C",
    location text NOT NULL COLLATE pg_catalog."C",
    on_hand bigint DEFAULT 0 NOT NULL,
    reserved bigint DEFAULT 0 NOT NULL,
    sold_out boolean GENERATED ALWAYS AS ((on_hand <= reserved)) STORED,
    short boolean GENERATED ALWAYS AS ((on_hand < reserved)) STORED,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT stock_levels_reserved_check CHECK ((reserved >= 0))
)
WITH (fillfactor='50');

CREATE TABLE public.stock_locations (
    location text NOT NULL COLLATE pg_catalog."C",
    name text DEFAULT ''::text NOT NULL,
    priority integer DEFAULT 100 NOT NULL,
    active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.stock_reservations (
    owner text NOT NULL COLLATE pg_catalog."C",
    line text NOT NULL COLLATE pg_catalog."C",
    sku text NOT NULL COLLATE pg_catalog."C",
    location text NOT NULL COLLATE pg_catalog."C",
    qty integer NOT NULL,
    committed integer DEFAULT 0 NOT NULL,
    taken integer DEFAULT 0 NOT NULL,
    state text NOT NULL,
    past_gate boolean DEFAULT false NOT NULL,
    expires_at timestamp with time zone,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT stock_reservations_check CHECK ((qty >= committed)),
    CONSTRAINT stock_reservations_check1 CHECK (((expires_at IS NULL) = (state <> 'held'::text))),
    CONSTRAINT stock_reservations_committed_check CHECK ((committed >= 0)),
    CONSTRAINT stock_reservations_state_check CHECK ((state = ANY (ARRAY['held'::text, 'confirmed'::text, 'committed'::text]))),
    CONSTRAINT stock_reservations_taken_check CHECK ((taken >= 0))
)
WITH (fillfactor='80');

CREATE VIEW public.stock_availability AS
 SELECT l.sku,
    l.location,
    p.name,
    p.priority,
    p.active,
    l.on_hand,
    (l.reserved - e.pieces) AS reserved,
    ((l.on_hand - l.reserved) + e.pieces) AS available,
    l.updated_at
   FROM ((public.stock_levels l
     JOIN public.stock_locations p ON ((p.location = l.location)))
     CROSS JOIN LATERAL ( SELECT COALESCE(sum((r.qty - r.committed)), (0)::bigint) AS pieces
           FROM public.stock_reservations r
          WHERE ((r.sku = l.sku) AND (r.location = l.location) AND (r.state = 'held'::text) AND (r.expires_at <= statement_timestamp()))) e);

CREATE TABLE public.stock_movements (
    id bigint NOT NULL,
    sku text NOT NULL COLLATE pg_catalog."C",
    location text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    qty bigint NOT NULL,
    on_hand bigint NOT NULL,
    reason text DEFAULT ''::text NOT NULL,
    actor text NOT NULL,
    owner text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    line text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    key text,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT stock_movements_kind_check CHECK ((kind = ANY (ARRAY['counted'::text, 'adjusted'::text, 'committed'::text, 'restocked'::text])))
);

ALTER TABLE public.stock_movements ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.stock_movements_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.stock_owners (
    owner text NOT NULL COLLATE pg_catalog."C",
    revision bigint DEFAULT 0 NOT NULL,
    content text DEFAULT ''::text NOT NULL,
    updated_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.unshown_payments (
    order_id text NOT NULL,
    version bigint NOT NULL,
    since timestamp with time zone DEFAULT now() NOT NULL
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

ALTER TABLE ONLY public.payment_authorizations
    ADD CONSTRAINT payment_authorizations_pkey PRIMARY KEY (payment_id, number);

ALTER TABLE ONLY public.payment_differences
    ADD CONSTRAINT payment_differences_pkey PRIMARY KEY (payment_id, kind, key);

ALTER TABLE ONLY public.payment_entries
    ADD CONSTRAINT payment_entries_pkey PRIMARY KEY (payment_id, kind, key);

ALTER TABLE ONLY public.payment_ids
    ADD CONSTRAINT payment_ids_pkey PRIMARY KEY (payment_id);

ALTER TABLE ONLY public.payment_intents
    ADD CONSTRAINT payment_intents_pkey PRIMARY KEY (payment_id, key);

ALTER TABLE ONLY public.payment_reconciliations
    ADD CONSTRAINT payment_reconciliations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.payment_references
    ADD CONSTRAINT payment_references_pkey PRIMARY KEY (reference);

ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_pkey PRIMARY KEY (payment_id);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (number);

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT shipments_order_id_attempt_key UNIQUE (order_id, attempt);

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT shipments_pkey PRIMARY KEY (shipment_id);

ALTER TABLE ONLY public.stock_levels
    ADD CONSTRAINT stock_levels_pkey PRIMARY KEY (sku, location);

ALTER TABLE ONLY public.stock_locations
    ADD CONSTRAINT stock_locations_pkey PRIMARY KEY (location);

ALTER TABLE ONLY public.stock_movements
    ADD CONSTRAINT stock_movements_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.stock_owners
    ADD CONSTRAINT stock_owners_pkey PRIMARY KEY (owner);

ALTER TABLE ONLY public.stock_reservations
    ADD CONSTRAINT stock_reservations_pkey PRIMARY KEY (owner, line, sku, location);

ALTER TABLE ONLY public.unshown_payments
    ADD CONSTRAINT unshown_payments_pkey PRIMARY KEY (order_id);

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

CREATE INDEX payment_differences_open ON public.payment_differences USING btree (payment_id) WHERE (resolved_at IS NULL);

CREATE INDEX payment_entries_by_recording ON public.payment_entries USING brin (recorded_at) WITH (autosummarize='on');

CREATE INDEX payment_entries_by_time ON public.payment_entries USING brin (at);

CREATE INDEX payments_pending ON public.payments USING btree (status, updated_at) WHERE (status = ANY (ARRAY['INIT'::text, 'PENDING'::text, 'REFUNDING'::text]));

CREATE INDEX stock_levels_by_location ON public.stock_levels USING btree (location, sku);

CREATE INDEX stock_levels_sold_out ON public.stock_levels USING btree (short) WHERE sold_out;

CREATE INDEX stock_movements_by_owner ON public.stock_movements USING btree (owner, id) WHERE (owner <> ''::text);

CREATE INDEX stock_movements_by_sku ON public.stock_movements USING btree (sku, id);

CREATE UNIQUE INDEX stock_movements_key ON public.stock_movements USING btree (key, kind, sku, location, line) WHERE (key IS NOT NULL);

CREATE INDEX stock_reservations_by_expiry ON public.stock_reservations USING btree (expires_at) WHERE (state = 'held'::text);

CREATE INDEX stock_reservations_by_level ON public.stock_reservations USING btree (sku, location, expires_at) WHERE (state <> 'committed'::text);

ALTER INDEX public.events_order_id_key_received_month_key ATTACH PARTITION public.events_default_order_id_key_received_month_key;

CREATE TRIGGER apply_payment_entry AFTER INSERT ON public.payment_entries FOR EACH ROW EXECUTE FUNCTION public.apply_payment_entry();

CREATE TRIGGER count_open_authorizations AFTER INSERT OR UPDATE ON public.payment_authorizations FOR EACH ROW WHEN ((new.number > 1)) EXECUTE FUNCTION public.count_open_authorizations();

CREATE TRIGGER count_open_refunds AFTER INSERT OR UPDATE ON public.payment_intents FOR EACH ROW WHEN ((new.kind = 'refund'::text)) EXECUTE FUNCTION public.count_open_refunds();

CREATE TRIGGER events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.events FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

CREATE TRIGGER events_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.events_default FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

CREATE TRIGGER guard_payment_intent BEFORE INSERT ON public.payment_intents FOR EACH ROW EXECUTE FUNCTION public.guard_payment_intent();

CREATE TRIGGER payment_entries_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.payment_entries FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

CREATE TRIGGER set_order_version BEFORE INSERT OR UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION public.set_order_version();

CREATE TRIGGER set_payment_status BEFORE INSERT OR UPDATE ON public.payments FOR EACH ROW EXECUTE FUNCTION public.set_payment_status();

CREATE TRIGGER stock_movements_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.stock_movements FOR EACH STATEMENT EXECUTE FUNCTION public.reject_change();

ALTER TABLE public.events
    ADD CONSTRAINT events_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(order_id);

ALTER TABLE ONLY public.order_references
    ADD CONSTRAINT order_references_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(order_id);

ALTER TABLE ONLY public.payment_authorizations
    ADD CONSTRAINT payment_authorizations_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES public.payments(payment_id);

ALTER TABLE ONLY public.payment_entries
    ADD CONSTRAINT payment_entries_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES public.payments(payment_id);

ALTER TABLE ONLY public.payment_ids
    ADD CONSTRAINT payment_ids_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(order_id);

ALTER TABLE ONLY public.payment_intents
    ADD CONSTRAINT payment_intents_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES public.payments(payment_id);

ALTER TABLE ONLY public.payment_references
    ADD CONSTRAINT payment_references_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES public.payments(payment_id);

ALTER TABLE ONLY public.payments
    ADD CONSTRAINT payments_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(order_id);

ALTER TABLE ONLY public.shipments
    ADD CONSTRAINT shipments_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(order_id);

ALTER TABLE ONLY public.stock_levels
    ADD CONSTRAINT stock_levels_location_fkey FOREIGN KEY (location) REFERENCES public.stock_locations(location);

ALTER TABLE ONLY public.unshown_payments
    ADD CONSTRAINT unshown_payments_order_id_fkey FOREIGN KEY (order_id) REFERENCES public.orders(order_id);
