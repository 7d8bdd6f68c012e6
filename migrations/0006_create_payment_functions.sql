-- What writes the ledger: facts are always stored, intents only under their guards. Each function locks the payment's row
-- first, so writers of one payment follow each other, and records the order's progress or events last. Each can be
-- repeated: the same key answers the same.

-- Facts.

-- Inserts an entry unless it exists. Returns whether it was inserted. One that differs from another entry of its kind and
-- key, or from the payment's currency, is inserted beside it and does not count. The caller has locked the payment's row.
create function add_payment_entry(
    p payments, of_kind text, of_key text, of_number integer, of_amount bigint, of_currency text, of_source text,
    of_reference text, happened_at timestamptz
) returns boolean language plpgsql as $$
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

-- Locks the row of a payment; inserts it first if it does not exist: a void can come before the charge. Returns null if
-- the payment id belongs to another order.
create function claim_payment(of_payment text, of_order text, given jsonb) returns payments language plpgsql as $$
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

-- Sums of one authorization of a payment, also of an immediate charge.
create function authorization_sums(
    p payments, of_number integer, out authorized bigint, out captured bigint, out released bigint, out refunded bigint,
    out open_captures bigint, out open_refunds bigint
) language sql stable as $$
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

-- The idempotency key of a charge or an authorization.
create function authorization_key(of_payment text, of_number integer) returns text
language sql immutable parallel safe as $$
    select case when of_number = 1 then of_payment else of_payment || '/' || of_number end
$$;

-- Records what the provider found when it voided a charge or an authorization, and so resolves its open captures: if it
-- refunded, they had been made.
create function record_void(p payments, of_number integer, outcome text) returns void language plpgsql as $$
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

-- Records the result of a charge, an authorization or a void; `given` has its number, status and what the provider
-- answered. Returns the payment as readers need it; null if the payment id belongs to another order.
create function finish_payment(of_payment text, of_order text, given jsonb, progress jsonb) returns jsonb
language plpgsql as $$
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

-- A payment's row as the activities read it, with the version of its order, which each change of the payment raises.
create function payment_summary(p payments) returns jsonb language sql stable as $$
    select jsonb_build_object(
        'payment_id', p.payment_id, 'order_id', p.order_id, 'status', p.status, 'reference', p.reference,
        'fenced', p.fenced_at is not null,
        'version', (select version from orders where order_id = p.order_id),
        'amounts', jsonb_build_object(
            'authorized', p.authorized - p.released, 'captured', p.captured, 'refunded', p.refunded)
    )
$$;

-- What a write of a payment ended, whose row was `before`: `decided` if its charge or authorization has another result, a
-- refund with its status. Nothing of a payment that money was returned from before is decided again.
create function ended_by(before payments, after payments, refund_before text, refund_after text) returns jsonb
language sql immutable parallel safe as $$
    select jsonb_build_object(
        'decided', before.status <> after.status
            and before.status not in ('REFUNDING', 'PARTIALLY_REFUNDED', 'REFUNDED'),
        'refund', case when refund_before <> refund_after then nullif(refund_after, 'open') end)
$$;

-- The status of a refund, which has a part for each authorization: open, refused if the provider refused a part, or done.
create function refund_status(of_payment text, of_refund text) returns text language sql stable as $$
    select case when bool_or(status = 'open') then 'open' when bool_or(status = 'refused') then 'refused' else 'done' end
    from payment_intents
    where payment_id = of_payment and kind = 'refund' and refund_id = of_refund
$$;

-- Ends a write of a payment, whose row was `before`, and of a refund, whose status was `refund_before`: records the progress.
-- Returns the payment, and what the write ended. A void that found a charge and returned it has ended a refund, too.
create function finish_payment_write(
    before payments, progress jsonb, of_refund text default null, refund_before text default 'open'
) returns jsonb language plpgsql as $$
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

-- Ends an intent: made with the provider's reference, which is a fact of `entry_kind`, or refused with an error. Returns
-- the intent as it was.
create function end_payment_intent(
    p payments, of_key text, entry_kind text, given_reference text, given_error text
) returns payment_intents language plpgsql as $$
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

-- Records a fact that the provider or a reconciliation reported; never refused. Returns whether it was new, the payment,
-- and what it ended; null if there is no such payment.
create function record_payment_fact(of_payment text, fact jsonb, progress jsonb) returns jsonb language plpgsql as $$
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

-- Stores the provider's id of a charge or an authorization before it moves money; the first one is kept. Returns it.
create function set_payment_reference(of_payment text, of_number integer, given text) returns text
language plpgsql as $$
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

-- Erases what can name a customer in a payment of an order. The entries of the ledger have no personal data: amounts, keys,
-- and the provider's ids.
create function erase_payment(of_payment text, of_order text) returns void language sql as $$
    update payments set method = '', pending = pending - 'url'
    where payment_id = of_payment and order_id = of_order and (method <> '' or pending is not null);

    update payment_authorizations set method = ''
    where payment_id = of_payment and method <> '';

    update payment_intents set
        reason = case when reason <> '' then 'erased' else '' end,
        error = case when error is not null then 'erased' end
    where payment_id = of_payment and (reason <> '' or error is not null);
$$;
