-- What is still owed for an order has one definition, and what is owed is found without a look at what is done.

-- Whether something is owed for an order at this step: its payment's outcome, or the rest of a refund, also of one that
-- has not begun. `money_owed` of orderfleet.contracts.status is the same in Python.
create function money_owed(of_step text, payment text) returns boolean language sql immutable parallel safe as $$
    select payment in ('INIT', 'REFUNDING') or payment = 'CHARGED' and of_step in ('canceled', 'failed')
$$;

-- Of an order that is undone, whether its payment is owed; the trigger keeps it. It makes a charge whose refund hasn't
-- begun as easy to find as one that has; nobody else needs it.
alter table orders add column owes boolean not null default false;

-- As before, with what an undone order owes: every move of a payment writes its order's row after it. And a write that
-- takes the row as it is, and says so by no version, is not a change that readers are told of.
create or replace function order_changed() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and new.version is null then
        return old;
    end if;
    new.version := case tg_op when 'INSERT' then 1 else old.version + 1 end;
    new.changed_xid := pg_current_xact_id();
    new.updated_at := now();
    new.owes := false;
    if money_owed(new.step, 'CHARGED') then
        new.owes := exists (
            select from payments
            where payment_id = new.payment_id and order_id = new.order_id and money_owed(new.step, status)
        );
    end if;
    perform pg_notify('orderfleet_orders', '');
    return new;
end;
$$;

update orders set version = orders.version -- the trigger does the rest
from payments
where payments.payment_id = orders.payment_id and payments.order_id = orders.order_id
    and money_owed(orders.step, 'CHARGED') and money_owed(orders.step, payments.status);

create index orders_owing on orders (order_id) where owes;

-- All that is owed, from two indexes that hold nothing else.
create view owed_payments as
select payment_id, order_id, status, amount, currency, updated_at as since
from payments
where status in ('INIT', 'REFUNDING') -- as the index has it
union all
select p.payment_id, o.order_id, p.status, p.amount, p.currency, greatest(p.updated_at, o.completed_at)
from orders o
join payments p on p.payment_id = o.payment_id and p.order_id = o.order_id
where o.owes and p.status not in ('INIT', 'REFUNDING') and money_owed(o.step, p.status);
