-- Stock: locations, levels, reservations of pieces, and append-only movements.
--
-- A transaction locks rows in the order stock_owners by owner, stock_levels by (sku, location), stock_reservations by
-- (sku, location, owner, line), and only then rows of orders and payments, so no two of them deadlock. Times are those of
-- clock_timestamp(): a transaction that waited for a lock must not decide by its begin.

-- Locations and levels.

create table stock_locations (
    location    text collate "C" primary key,
    name        text        not null default '',
    priority    integer     not null default 100,   -- the lowest is used first
    active      boolean     not null default true,  -- whether further pieces may be reserved there
    created_at  timestamptz not null default clock_timestamp(),
    updated_at  timestamptz not null default clock_timestamp()
);

-- on_hand is the sum of the level's movements. It is below reserved only after a fact: a count found fewer pieces than
-- orders past their gate have. The two generated columns rarely change, so updates stay free of index writes.
create table stock_levels (
    sku         text collate "C" not null,
    location    text collate "C" not null references stock_locations,
    on_hand     bigint      not null default 0,
    reserved    bigint      not null default 0 check (reserved >= 0),
    sold_out    boolean     generated always as (on_hand <= reserved) stored,
    short       boolean     generated always as (on_hand < reserved) stored,
    updated_at  timestamptz not null default clock_timestamp(),
    primary key (sku, location)
) with (fillfactor = 50);

create index stock_levels_by_location on stock_levels (location, sku);
-- Metrics read these only.
create index stock_levels_sold_out on stock_levels (short) where sold_out;

-- Reservations.

-- Who reserves: an order. Its row is kept, so that a late request with an earlier revision is refused.
create table stock_owners (
    owner       text collate "C" primary key,
    revision    bigint      not null default 0,
    content     text        not null default '',    -- digest of what the revision reserves
    updated_at  timestamptz not null default clock_timestamp()
);

-- Pieces of one line of an owner at one level. A level's reserved is the sum of qty - committed.
create table stock_reservations (
    owner       text collate "C" not null,
    line        text collate "C" not null,
    sku         text collate "C" not null,
    location    text collate "C" not null,
    qty         integer     not null check (qty >= committed),
    committed   integer     not null default 0 check (committed >= 0),  -- of these, dispatched
    taken       integer     not null default 0 check (taken >= 0),      -- pieces that a count took away
    state       text        not null check (state in ('held', 'confirmed', 'committed')),
    past_gate   boolean     not null default false, -- its dispatch has begun: a count takes nothing away
    expires_at  timestamptz check ((expires_at is null) = (state <> 'held')),
    created_at  timestamptz not null,
    primary key (owner, line, sku, location)
) with (fillfactor = 80);

-- A level's reservations that are not dispatched, and those that expire. Past reservations are in neither.
create index stock_reservations_by_level on stock_reservations (sku, location, expires_at) where state <> 'committed';
create index stock_reservations_by_expiry on stock_reservations (expires_at) where state = 'held';

-- Movements.

create table stock_movements (
    id          bigint      generated always as identity primary key,
    sku         text collate "C" not null,
    location    text collate "C" not null,
    kind        text        not null check (kind in ('counted', 'adjusted', 'committed', 'restocked')),
    qty         bigint      not null,               -- signed
    on_hand     bigint      not null,               -- of the level after it
    reason      text        not null default '',
    actor       text        not null,
    owner       text collate "C" not null default '',
    line        text collate "C" not null default '',
    key         text,                               -- makes a repeated request the same; null for a count
    at          timestamptz not null default clock_timestamp()
);

create unique index stock_movements_key on stock_movements (key, kind, sku, location, line) where key is not null;
create index stock_movements_by_sku on stock_movements (sku, id);
create index stock_movements_by_owner on stock_movements (owner, id) where owner <> '';

create trigger stock_movements_append_only before update or delete or truncate on stock_movements
    for each statement execute function reject_change();

-- Views.

-- Levels as readers see them: a reservation that has expired counts no longer, though its row may still exist.
create view stock_availability as
select l.sku, l.location, p.name, p.priority, p.active, l.on_hand, l.reserved - e.pieces as reserved,
    l.on_hand - l.reserved + e.pieces as available, l.updated_at
from stock_levels as l
join stock_locations as p on p.location = l.location
cross join lateral (
    select coalesce(sum(r.qty - r.committed), 0)::bigint as pieces
    from stock_reservations as r
    where r.sku = l.sku and r.location = l.location and r.state = 'held' and r.expires_at <= statement_timestamp()
) as e;
