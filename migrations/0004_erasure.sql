-- What a customer gave can be taken out of an order that has ended, and the trail of old orders can be removed. The
-- order's id, its owner and its money stay: an id is used once, ever.

alter table orders
    add column erased_at timestamptz,  -- since when it holds nothing that the customer gave
    add column pruned_at timestamptz;  -- since when its events and shipments are gone

create index orders_to_prune on orders (completed_at) where completed_at is not null and pruned_at is null;

-- As before, but for a transaction that says what it is about: `orderfleet erase` and `prune`. Only the owner of the
-- table has the right to change an event at all; a runtime role may say what it likes.
create or replace function refuse_change() returns trigger language plpgsql as $$
begin
    if tg_op <> 'TRUNCATE' and current_setting('orderfleet.erasing', true) = 'on' then
        return null;
    end if;
    raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'restrict_violation';
end;
$$;
