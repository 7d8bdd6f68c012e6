-- The ledger of money: authorizations, append-only entries, intents, and the triggers that derive a payment's sums and
-- status from them. Entries are facts and never refused; the functions of 0006_create_payment_functions.sql refuse intents.

-- Authorizations.

-- Of a payment that is captured on shipment; several only if one lapses. An immediate charge has no row: it is
-- authorization 1 of its payment. A row above the first is also the intent of its authorization.
create table payment_authorizations (
    payment_id          text        not null references payments,
    number              integer     not null check (number >= 1),
    amount              bigint      not null check (amount >= 0),
    method              text        not null default '',
    reference           text,
    expires_at          timestamptz,
    multiple_captures   boolean     not null default false,
    state               text        not null check (state in ('open', 'authorized', 'refused', 'closed')),
    created_at          timestamptz not null default now(),
    primary key (payment_id, number)
);

-- Ids of charges and authorizations that a provider gave before money moved: what it reports later may have nothing else.
create table payment_references (
    reference   text        primary key,
    payment_id  text        not null references payments,
    number      integer     not null
);

-- Entries.

-- The key is the idempotency key of the call, or the provider's id of what we did not ask for. A reversal has the key of
-- what it reverses. An entry whose key and kind another entry has with another amount does not count: it has a suffix
-- and shows in payment_discrepancies, like one of another currency.
create table payment_entries (
    payment_id  text        not null references payments,
    kind        text        not null check (kind in (
        'authorized', 'captured', 'released', 'voided', 'refunded', 'refund_reversed', 'charged_back',
        'charge_back_reversed')),
    key         text        not null,
    number      integer     not null default 1, -- of the authorization
    amount      bigint      not null check (amount >= 0),
    currency    text        not null,
    source      text        not null check (source in ('order', 'webhook', 'reconciliation')),
    reference   text,                           -- the provider's id
    counts      boolean     not null default true,
    at          timestamptz not null,           -- when the money moved
    recorded_at timestamptz not null default now(),
    primary key (payment_id, kind, key)
);

-- Exports read a range of time. A block range index costs a write next to nothing.
create index payment_entries_by_time on payment_entries using brin (at);

create trigger payment_entries_append_only before update or delete or truncate on payment_entries
    for each statement execute function reject_change();

-- Intents.

-- Captures and refunds that are asked of the provider: stored before the call, under the guards. A refund has one for
-- each authorization that it takes money from.
create table payment_intents (
    payment_id  text        not null references payments,
    key         text        not null,               -- the idempotency key of the call
    kind        text        not null check (kind in ('capture', 'refund')),
    number      integer     not null default 1,     -- of the authorization
    amount      bigint      not null check (amount >= 0),
    status      text        not null default 'open' check (status in ('open', 'done', 'refused')),
    refund_id   text,
    asked       jsonb       not null default '{}',  -- what a refund was asked for: the same id asks for the same
    lines       jsonb       not null default '[]',  -- the pieces of a refund: [{"line", "start", "end"}]
    shortfall   bigint      not null default 0,     -- value of these pieces above the amount
    reason      text        not null default '',
    error       text,                               -- why the provider refused
    created_at  timestamptz not null default now(),
    asked_at    timestamptz not null default now(),  -- when an activity last began to ask the provider
    ended_at    timestamptz,
    primary key (payment_id, key)
);

-- Status.

-- What can be refunded now.
create function refundable(p payments) returns bigint language sql immutable parallel safe as $$
    select greatest(0, p.captured - p.refunded - p.charged_back - p.open_refunds)
$$;

-- The status of a payment: of those that hold, the latest. An authorization that is open after another one lapsed is as
-- the first one was. A payment of 0 moves no money: it is charged without a call, and refunded by its fence.
create function payment_status(p payments) returns text language sql immutable parallel safe as $$
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

create function set_payment_status() returns trigger language plpgsql as $$
begin
    new.status := payment_status(new);
    if tg_op = 'UPDATE' and new.status <> old.status then
        new.updated_at := now();
    end if;
    return new;
end;
$$;

create trigger set_payment_status before insert or update on payments
    for each row execute function set_payment_status();

-- Sums and counts.

-- Adds an entry to the sums of its payment, and ends what it decides: the first charge or authorization, an authorization,
-- an intent. The writer has locked the payment's row.
create function apply_payment_entry() returns trigger language plpgsql as $$
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

create trigger apply_payment_entry after insert on payment_entries
    for each row execute function apply_payment_entry();

-- Counts the open refunds of a payment again.
create function count_open_refunds() returns trigger language plpgsql as $$
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

create trigger count_open_refunds after insert or update on payment_intents
    for each row when (new.kind = 'refund') execute function count_open_refunds();

-- Counts the open authorizations of a payment above the first again.
create function count_open_authorizations() returns trigger language plpgsql as $$
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

create trigger count_open_authorizations after insert or update on payment_authorizations
    for each row when (new.number > 1) execute function count_open_authorizations();
