-- Views of the ledger: a payment in full, what its entries derive, discrepancies, and sums for finance.

-- A payment with its authorizations, entries, captures and refunds.
create view recorded_payments as
select
    p.payment_id, p.order_id, p.status, p.capture, p.method, p.amount, p.currency, p.reference, p.pending,
    p.authorized - p.released as authorized, p.captured, p.refunded, p.charged_back, p.open_refunds,
    refundable(p) as refundable, p.fenced_at, p.created_at, p.updated_at, o.created_at as ordered_at,
    (
        select coalesce(jsonb_agg(to_jsonb(a) - 'payment_id' order by a.number), '[]')
        from payment_authorizations as a where a.payment_id = p.payment_id
    ) as authorizations,
    (
        select coalesce(jsonb_agg(to_jsonb(e) - 'payment_id' order by e.recorded_at, e.at, e.key), '[]')
        from payment_entries as e where e.payment_id = p.payment_id
    ) as entries,
    (
        select coalesce(jsonb_agg(to_jsonb(i) - 'payment_id' order by i.created_at, i.key), '[]')
        from payment_intents as i where i.payment_id = p.payment_id
    ) as intents
from payments as p
join orders as o on o.order_id = p.order_id;

-- Sums and status of each payment, derived from its entries and intents alone. payments has the same.
create view derived_payments as
select derived.payment_id, payment_status(derived) as status, derived.authorized, derived.released, derived.captured,
    derived.refunded, derived.charged_back, derived.open_refunds, derived.refunding, derived.authorizing
from payments as stored
cross join lateral (
    select
        coalesce(sum(amount) filter (where kind = 'authorized' or kind = 'captured' and stored.capture = 'immediate'), 0)
            as authorized,
        coalesce(sum(amount) filter (where kind in ('released', 'voided')), 0) as released,
        coalesce(sum(amount) filter (where kind = 'captured'), 0) as captured,
        coalesce(sum(case kind when 'refunded' then amount when 'refund_reversed' then -amount end), 0) as refunded,
        coalesce(sum(case kind when 'charged_back' then amount when 'charge_back_reversed' then -amount end), 0)
            as charged_back
    from payment_entries
    where payment_id = stored.payment_id and counts
) as e
cross join lateral (
    select coalesce(sum(amount), 0) as open_refunds, count(*) as refunding
    from payment_intents
    where payment_id = stored.payment_id and kind = 'refund' and status = 'open'
) as i
cross join lateral (
    select count(*) as authorizing
    from payment_authorizations
    where payment_id = stored.payment_id and number > 1 and state = 'open'
) as a
cross join lateral jsonb_populate_record(stored, jsonb_build_object(
    'authorized', e.authorized, 'released', e.released, 'captured', e.captured, 'refunded', e.refunded,
    'charged_back', e.charged_back, 'open_refunds', i.open_refunds, 'refunding', i.refunding, 'authorizing', a.authorizing
)) as derived;

-- Payments whose facts do not fit together, with the amount that is too much.
create view payment_discrepancies as
select payment_id, order_id, 'captured_more_than_authorized' as kind, captured + released - authorized as amount, currency
from payments where captured + released > authorized
union all
select payment_id, order_id, 'captured_more_than_ordered', captured - amount, currency
from payments where captured > amount
union all
select payment_id, order_id, 'returned_more_than_captured', refunded + charged_back - captured, currency
from payments where refunded + charged_back > captured
union all
select e.payment_id, p.order_id, 'contradicting_entry', e.amount, e.currency
from payment_entries as e join payments as p on p.payment_id = e.payment_id
where not e.counts;

-- Money by day (UTC) and currency. A refund or a charge-back that was reversed counts on the day of its reversal.
create view payment_totals_by_day as
select
    (at at time zone 'utc')::date as day, currency,
    coalesce(sum(amount) filter (where kind = 'captured'), 0) as captured,
    coalesce(sum(case kind when 'refunded' then amount when 'refund_reversed' then -amount end), 0) as refunded,
    coalesce(sum(case kind when 'charged_back' then amount when 'charge_back_reversed' then -amount end), 0) as charged_back
from payment_entries
where counts and kind not in ('authorized', 'released', 'voided')
group by day, currency;

-- What is authorized and neither captured nor released, by the day (UTC) of the authorization and currency.
create view open_authorizations_by_day as
select (a.created_at at time zone 'utc')::date as day, p.currency, count(*) as payments,
    sum(s.authorized - s.captured - s.released) as amount
from payments as p
join payment_authorizations as a on a.payment_id = p.payment_id
cross join lateral authorization_sums(p, a.number) as s
where p.authorized > p.captured + p.released and s.authorized > s.captured + s.released
group by day, p.currency;
