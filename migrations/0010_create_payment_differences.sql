-- Differences between the ledger of money and the payment provider's books, as reconciliations find them.

-- A difference, from the first reconciliation that found it until one no longer does. The ledger may not have its payment.
create table payment_differences (
    payment_id      text        not null,
    kind            text        not null,
    key             text        not null,   -- of what differs, unique among those of its kind in the payment
    order_id        text        not null,
    number          integer     not null,   -- of the authorization
    currency        text        not null,
    ledger_amount   bigint,                 -- null: the ledger has nothing of it
    provider_amount bigint,                 -- null: the provider has nothing of it
    reference       text,                   -- the provider's id of the charge or the authorization
    safe            boolean     not null,   -- a reconciliation repairs it
    first_seen_at   timestamptz not null,
    last_seen_at    timestamptz not null,
    repaired_at     timestamptz,
    resolved_at     timestamptz,            -- since then it is gone
    primary key (payment_id, kind, key)
);

-- Metrics, lists and reconciliations read open differences only.
create index payment_differences_open on payment_differences (payment_id) where resolved_at is null;

-- When the last reconciliation was completed; one row.
create table payment_reconciliations (
    name            text        primary key,
    completed_at    timestamptz not null
);

-- Reconciliations read the entries of a range of time. Entries are appended in the order of this time, so an index of
-- block ranges finds them, and costs an insert nothing.
create index payment_entries_by_recording on payment_entries using brin (recorded_at) with (autosummarize = on);
