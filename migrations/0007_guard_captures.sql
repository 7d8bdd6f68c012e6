-- Intents of captures, of further authorizations and of the undo. Each is refused here if it would take too much, or once
-- the payment is fenced. All decide under the lock of the payment's row.

-- Guard.

-- Refuses an intent that would take or return too much, by any statement. The functions below decide the same before, and
-- answer with the reason.
create function guard_payment_intent() returns trigger language plpgsql as $$
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

create trigger guard_payment_intent before insert on payment_intents
    for each row execute function guard_payment_intent();

-- Undo.

-- Fences a payment: no capture, authorization or refund can begin any more. Returns the payment and every charge or
-- authorization that may hold or take money, for the provider to void; null if the payment id belongs to another order.
create function fence_payment(of_payment text, of_order text, given jsonb) returns jsonb language plpgsql as $$
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

-- Captures.

-- One authorization as the provider's calls need it.
create function authorization_summary(p payments, a payment_authorizations) returns jsonb language sql stable as $$
    select jsonb_build_object(
        'payment_id', p.payment_id, 'order_id', p.order_id, 'currency', p.currency, 'amount', a.amount,
        'method', a.method, 'number', a.number, 'reference', a.reference)
$$;

-- Begins a capture of `given_amount`, or of everything that is not captured, from an authorization with `given_method` or, if
-- that is empty, with any. An open one is answered again, with the time since it was asked before.
-- `refused` is: unknown_payment, fenced, conflict (an open capture of another amount), too_much, not_authorized, lapsed,
-- other_method, step (the amount is no multiple of the payment's step).
create function begin_capture(of_payment text, of_order text, given_amount bigint, given_method text) returns jsonb
language plpgsql as $$
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

-- Ends a capture: made with the provider's reference, or refused with an error, and lapsed if the authorization has. The
-- capture is a fact; what a single capture leaves of its authorization is released.
create function finish_capture(
    of_payment text, of_order text, of_key text, given_reference text, given_error text, has_lapsed boolean, progress jsonb
) returns jsonb language plpgsql as $$
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

-- Records that the provider has released what is left of an authorization, which closes it.
create function release_authorization(p payments, of_number integer) returns void language plpgsql as $$
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

-- Authorizations.

-- Begins another authorization of what is not captured, once the last one has lapsed or is voided. An open one is answered
-- again. `refused` is: unknown_payment, fenced, authorized (another authorization holds), captured.
create function begin_authorization(of_payment text, of_order text, given_method text) returns jsonb language plpgsql as $$
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
