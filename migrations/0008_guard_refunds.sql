-- Intents of refunds: which pieces or which amount, of which captures, and never more than is left of them. Decided under the
-- lock of the payment's row, so that refunds that are asked for at the same moment follow each other.

-- The pieces of a line that a refund takes: the highest free ones. Pieces of refunds that are open or done are not free.
-- Null if fewer are free than wanted.
create function free_pieces(of_payment text, of_line text, pieces integer, wanted integer) returns int4multirange
language plpgsql stable as $$
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

-- Begins a refund under its id. `asked` has the amount, or lines as {line, qty, pieces, amount, step}: pieces and amount of
-- the whole line; neither asks for everything that can be refunded. `undo` fences the payment first. The same id with the
-- same `asked` is answered again.
-- `refused` is: unknown_payment, fenced, conflict (the id has other content), pieces (with the line), too_much.
create function begin_refund(
    of_payment text, of_order text, of_refund text, asked jsonb, of_reason text, undo boolean, progress jsonb
) returns jsonb language plpgsql as $$
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
            steps := div((line ->> 'amount')::numeric, (line ->> 'step')::numeric);
            for part in select unnest(chosen) loop
                -- `pieces_value` in Python is the same.
                value := value + (line ->> 'step')::numeric * (
                    div(steps * upper(part), (line ->> 'pieces')::numeric)
                    - div(steps * lower(part), (line ->> 'pieces')::numeric));
                lines := lines || jsonb_build_object('line', line ->> 'line', 'start', lower(part), 'end', upper(part));
            end loop;
        end loop;
    else
        value := coalesce((asked ->> 'amount')::numeric, refundable(p));
        if value > refundable(p) then
            return jsonb_build_object('refused', 'too_much', 'refundable', refundable(p), 'payment', payment_summary(p));
        end if;
    end if;
    pays := least(value, refundable(p));
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

-- What a refund is, with its parts as the provider's calls need them.
create function refund_summary(p payments, of_refund text) returns jsonb language sql stable as $$
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
$$;

-- Ends a part of a refund: made with the provider's reference, which is a fact, or refused with an error.
create function finish_refund(
    of_payment text, of_order text, of_key text, given_reference text, given_error text, progress jsonb
) returns jsonb language plpgsql as $$
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
