-- Grants a role what workers, operator and API need, and revokes its other rights on Orderfleet's tables: it cannot
-- change or delete an event or an entry of the ledger, delete an order, or change a table. Runs after each migration; can be repeated.
-- The schema can hold tables of other applications: rights on those stay as they are.
do $$
declare
    role text := current_setting('orderfleet.runtime_role');
    relation regclass;
begin
    execute format('grant connect on database %I to %I', current_database(), role);
    execute format('grant usage on schema %I to %I', current_schema(), role);
    execute format('revoke create on schema %I from %I', current_schema(), role);
    for relation in
        select oid from pg_class
        where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p', 'v', 'S') and (
            relname in (
                'orders', 'payments', 'payment_ids', 'order_references', 'shipments', 'events', 'event_ids',
                'recorded_orders', 'pending_payments', 'schema_migrations',
                'payment_references', 'payment_authorizations', 'payment_entries', 'payment_intents', 'recorded_payments',
                'derived_payments', 'payment_discrepancies', 'payment_totals_by_day', 'open_authorizations_by_day',
                'payment_differences', 'payment_reconciliations', 'unshown_payments'
            )
            or relname ~ '^events_(default|\d{4}_\d{2})$' -- partitions, also detached ones
        )
    loop
        execute format('revoke all on %s from %I', relation, role);
    end loop;
    execute format('grant select, insert, update on orders, payments, payment_ids, order_references, shipments to %I', role);
    execute format('grant select, insert, update on payment_authorizations, payment_intents to %I', role);
    execute format('grant select, insert, update on payment_differences, payment_reconciliations to %I', role);
    execute format('grant select, insert, update, delete on unshown_payments to %I', role);
    execute format('grant select, insert on events, payment_entries, payment_references to %I', role);
    execute format('grant usage on sequence event_ids to %I', role);
    execute format(
        'grant select on recorded_orders, pending_payments, schema_migrations, recorded_payments, derived_payments,'
        ' payment_discrepancies, payment_totals_by_day, open_authorizations_by_day to %I', role
    );
end;
$$
