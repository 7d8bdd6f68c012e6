-- Gives a role what running processes need of the record and takes everything else: nobody who only runs can
-- alter or delete an event, delete an order, or change a table. Run again after each migration; idempotent.
do $$
declare
    role text := current_setting('orderfleet.runtime_role');
begin
    execute format('grant connect on database %I to %I', current_database(), role);
    execute format('grant usage on schema %I to %I', current_schema(), role);
    execute format('revoke create on schema %I from %I', current_schema(), role);
    execute format('revoke all on all tables in schema %I from %I', current_schema(), role);
    execute format('grant select, insert, update on orders, payments, payment_ids, shipments to %I', role);
    execute format('grant select, insert on events to %I', role);
    execute format('grant usage on sequence event_ids to %I', role);
    execute format('grant select on recorded_orders, owed_payments, schema_migrations to %I', role);
end;
$$
