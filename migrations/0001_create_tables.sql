-- Tables and indexes: orders, their payments and shipments, and their audit events.
--
-- Every transaction locks rows in the order payments, orders, payment_ids, order_references, shipments, events, unshown_payments, so no two
-- of them deadlock. Authorizations, entries and intents of a payment are written under the lock of its row. Workers, operator and API write only through the statements in orderfleet/store/sql, each of which can be
-- repeated safely.

-- Orders.

create table orders (
    order_id                text        primary key,
    workflow_id             text        not null,
    run_id                  text        not null,
    first_run_id            text        not null, -- identifies the workflow execution: continue-as-new keeps it
    owner                   text        not null, -- namespace/name of the Order; empty for an order without one
    owner_uid               text        not null,
    content_hash            text        not null,
    customer_name           text        not null,
    customer_email          text        not null,
    items                   jsonb       not null,
    address                 jsonb       not null,
    payment_id              text        not null,
    amount                  bigint      not null, -- in minor units of the currency; not validated on receipt
    currency                text        not null,
    adjustments             jsonb       not null default '[]',
    reference               text        not null default '',  -- the shop's own number; empty for an order without one
    step                    text        not null check (step in (
        'receive', 'validate', 'manual_review', 'charge', 'shipping', 'shipped', 'delivered', 'canceled', 'failed')),
    approved                boolean     not null default false,
    canceled                boolean     not null default false,
    cancel_reason           text,
    dispatch_failed_reason  text,
    last_error              text,
    retries                 jsonb       not null default '{}',
    declared                jsonb       not null default '{}',
    hold                    jsonb,                              -- why it waits before its dispatch; null without one
    payment_pending         jsonb,                              -- what its payment waits for; null unless it is PENDING
    recorded_seq            bigint      not null default 0,     -- number of the last progress that was applied
    refund_pending          boolean     not null default false, -- the trigger below keeps it; see payment_pending()
    received_month          date        not null,               -- the trigger sets it once; selects the events partition
    version                 bigint      not null,
    changed_xid             xid8        not null,               -- transaction of the last change; the change feed's cursor
    created_at              timestamptz not null,
    updated_at              timestamptz not null,
    deadline_at             timestamptz,                        -- null: the order has no deadline
    completed_at            timestamptz,
    erased_at               timestamptz,                        -- since then the row holds no personal data
    pruned_at               timestamptz                         -- since then the order has no events and no shipments
);

-- The change feed reads upward from its cursor.
create index orders_by_change on orders (changed_xid, order_id);

-- Lists of orders, newest first. Each filter has an index of its own, so the cost of a page does not depend on the
-- number of orders. created_at is in all of them, so a time range needs no further index.
create index orders_by_time on orders (created_at, order_id);
create index orders_by_step on orders (step, created_at, order_id);
-- Step and customer are one key: with two columns, Postgres may choose the index of all orders instead.
-- Orders without an e-mail address are left out.
create index orders_by_customer on orders (lower(customer_email), created_at, order_id) where customer_email <> '';
create index orders_by_customer_and_step on orders ((step || ' ' || lower(customer_email)), created_at, order_id)
    where customer_email <> '';

-- Orders without a reference are left out.
create index orders_by_reference on orders (reference, created_at, order_id) where reference <> '';

-- Partial indexes: the backlog metrics and `orderfleet prune` read unfinished rows only.
create index orders_by_deadline on orders (deadline_at) where deadline_at is not null and completed_at is null;
create index orders_refund_pending on orders (order_id) where refund_pending;
create index orders_held on orders (order_id) where hold is not null;
-- The orphan sweep reads unfinished orders by their ids, a page at a time.
create index orders_unfinished on orders (order_id) where completed_at is null;
create index orders_to_prune on orders (completed_at) where completed_at is not null and pruned_at is null;

-- Payments.

-- A payment id belongs to one order from its receipt on. A table of its own: an index of orders would be written at
-- each step of an order, and a row of payments means that the charge has begun.
create table payment_ids (
    payment_id  text primary key,
    order_id    text not null references orders
);

-- The first order that was received with a reference. Whether another order may have it too is a setting.
create table order_references (
    reference   text primary key,
    order_id    text not null references orders
);

-- A payment, which is also its first charge or authorization. The triggers of 0005_create_payment_ledger.sql keep the sums,
-- the counts and the status; writers set the rest only.
create table payments (
    payment_id      text        primary key,
    order_id        text        not null references orders,
    status          text        not null check (status in (
        'INIT', 'PENDING', 'AUTHORIZED', 'PARTIALLY_CAPTURED', 'CHARGED', 'PARTIALLY_REFUNDED', 'REFUNDING', 'REFUNDED',
        'FAILED', 'VOIDED')),
    amount          bigint      not null check (amount >= 0), -- in minor units of the currency, as all amounts here
    currency        text        not null,
    reference       text,                                   -- the provider's id of the first charge or authorization
    capture         text        not null default 'immediate' check (capture in ('immediate', 'onShipment')),
    method          text        not null default '',        -- the provider's token of the customer's means of payment
    intent          text        not null default 'open'     -- of the first charge or authorization
        check (intent in ('open', 'done', 'refused', 'voided')),
    pending         jsonb,                                  -- while it waits for the customer: {"url", "until"}
    authorized      bigint      not null default 0,         -- sums of the entries
    released        bigint      not null default 0,
    captured        bigint      not null default 0,
    refunded        bigint      not null default 0,
    charged_back    bigint      not null default 0,
    open_refunds    bigint      not null default 0,         -- sum of the open refunds
    refunding       integer     not null default 0,         -- number of the open refunds
    authorizing     integer     not null default 0,         -- number of the open authorizations above the first
    fenced_at       timestamptz,                            -- since then nothing new may begin: the payment is undone
    created_at      timestamptz not null default now(),
    updated_at      timestamptz not null default now()      -- of the status
);

create index payments_pending on payments (status, updated_at) where status in ('INIT', 'PENDING', 'REFUNDING');

-- Orders whose payment changed after their end, until the Order in Kubernetes shows it; the operator deletes the row then.
create table unshown_payments (
    order_id    text        primary key references orders,
    version     bigint      not null,               -- of the order, with the last change of its payment
    since       timestamptz not null default now()  -- the last change
);

-- Shipments.

create table shipments (
    shipment_id             text        primary key,
    order_id                text        not null references orders,
    attempt                 integer     not null check (attempt >= 1),
    status                  text        not null check (status in (
        'preparing', 'prepared', 'dispatched', 'delivered', 'parked', 'canceled', 'failed')),
    carrier                 text,
    tracking_number         text,
    attempts                integer     not null default 0 check (attempts >= 0),
    dispatch_failed_reason  text,
    created_at              timestamptz not null default now(),
    updated_at              timestamptz not null default now(),
    unique (order_id, attempt)
);

-- Events.

-- The audit trail. It is append-only and partitioned by the month in which the order was received
-- (0004_partition_events.sql), so all events of an order are in one partition, where their keys are unique.
-- The order's row is locked before an event is inserted, so ids of one order rise in commit order: a reader that
-- continues after the last id it read misses none.
create sequence event_ids;

create table events (
    order_id        text        not null references orders,
    id              bigint      not null default nextval('event_ids'),
    key             text        not null, -- the same on every retry
    kind            text        not null,
    step            text        not null,
    at              timestamptz not null,
    detail          jsonb       not null default '{}',
    received_month  date        not null, -- of its order
    unique (order_id, key, received_month)
) partition by range (received_month);

alter sequence event_ids owned by events.id;
