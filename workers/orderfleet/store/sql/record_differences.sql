-- Records the differences that a reconciliation found. One that is repaired is resolved.
insert into payment_differences as d (
    payment_id, kind, key, order_id, number, currency, ledger_amount, provider_amount, reference, safe, first_seen_at,
    last_seen_at, repaired_at, resolved_at
)
select payment_id, kind, key, order_id, number, currency, ledger_amount, provider_amount, reference, safe, now(), now(),
    case when repaired then now() end, case when repaired then now() end
from jsonb_to_recordset($1::jsonb) as found (
    payment_id text, kind text, key text, order_id text, number integer, currency text, ledger_amount bigint,
    provider_amount bigint, reference text, safe boolean, repaired boolean
)
on conflict (payment_id, kind, key) do update set
    order_id        = excluded.order_id,
    number          = excluded.number,
    currency        = excluded.currency,
    ledger_amount   = excluded.ledger_amount,
    provider_amount = excluded.provider_amount,
    reference       = excluded.reference,
    safe            = excluded.safe,
    first_seen_at   = case when d.resolved_at is null then d.first_seen_at else excluded.first_seen_at end,
    last_seen_at    = excluded.last_seen_at,
    repaired_at     = excluded.repaired_at,
    resolved_at     = excluded.resolved_at
