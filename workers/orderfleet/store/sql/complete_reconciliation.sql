-- Records that a reconciliation was completed now, and returns how many differences are left for a person.
with completed as (
    insert into payment_reconciliations (name, completed_at) values ('last', now())
    on conflict (name) do update set completed_at = excluded.completed_at
)
select count(*) as unsafe from payment_differences where resolved_at is null and not safe
