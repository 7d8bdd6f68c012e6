"""Two roles in Postgres: the owner migrates; the runtime role runs orders and can't change their events."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from temporalio.client import Client

from orderfleet.domain.errors import CarrierRefused
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.services.workflow_client import Change
from orderfleet.store.migrate import WrongRole, migrate
from orderfleet.store.migrate import grant_runtime_role as grant
from orderfleet.store.reads import OrderReads
from support.factories import AUTO, ELSEWHERE
from support.own_postgres import as_role
from support.polling import eventually
from support.workflow_env import workflow_test_env


async def test_orders_ship_and_are_compensated_with_the_rights_of_the_runtime_role(
    temporal_client: Client, postgres_url: str, role: str, task_queues: Any
) -> None:
    await grant(postgres_url, role)
    await grant(postgres_url, role)
    url = as_role(postgres_url, role)
    async with workflow_test_env(temporal_client, url, task_queues.orders, task_queues.shipping) as running:
        await running.client.start(running.order("role-1"))
        await running.until_recorded("role-1", lambda status: status.step is Step.MANUAL_REVIEW)
        await running.client.change("role-1", Change.update_address(ELSEWHERE))
        await running.client.change("role-1", Change.approve())
        assert (await running.handle("role-1").result()).step is Step.SHIPPED
        running.carrier.booking.always = _refused
        await running.client.start(running.order("role-2", review=AUTO))
        await running.until_recorded("role-2", lambda status: status.step is Step.FAILED)
        await eventually(
            lambda: running.recorded("role-2"), lambda order: order.status.payment.status is PaymentStatus.REFUNDED
        )
        await OrderReads(running.database).backlog()


async def _refused() -> None:
    raise CarrierRefused("no delivery there")


@pytest.mark.parametrize(
    "statement",
    [
        "update events set detail = '{}'",
        "delete from events",
        "truncate events",
        "drop trigger events_append_only on events",
        "alter table events disable trigger all",
        "drop table events",
        "delete from orders",
        "delete from payments",
        "truncate orders cascade",
        "alter table orders drop column items",
        "create table mine (id int)",
        "update schema_migrations set checksum = ''",
    ],
)
async def test_runtime_role_changes_no_event_and_no_table(postgres_url: str, role: str, statement: str) -> None:
    await grant(postgres_url, role)
    connection = await asyncpg.connect(as_role(postgres_url, role))
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_grant_leaves_the_rights_on_tables_of_other_applications(
    postgres_url: str, role: str, sql: asyncpg.Connection
) -> None:
    await sql.execute(
        "create table invoices (id integer); create table events_of_invoices (id integer);"
        f'grant all on invoices, events_of_invoices to "{role}"'
    )
    await grant(postgres_url, role)
    runtime = await asyncpg.connect(as_role(postgres_url, role))
    try:
        await runtime.execute("insert into invoices values (1); delete from invoices; truncate events_of_invoices")
    finally:
        await runtime.close()


async def test_grant_revokes_every_other_right_on_tables_of_orderfleet(
    postgres_url: str, role: str, sql: asyncpg.Connection
) -> None:
    """Reads the catalog, so that tables and views of later migrations are included."""
    await sql.execute("select detach_events_partition(date_trunc('month', now() at time zone 'utc')::date)")
    await sql.execute(f'grant all on all tables in schema public to "{role}"')
    await sql.execute(f'grant all on all sequences in schema public to "{role}"')
    await grant(postgres_url, role)
    rows = await sql.fetch(
        "select c.relname, array_agg(a.privilege_type::text order by a.privilege_type) as rights"
        " from pg_class c, aclexplode(c.relacl) a"
        " where a.grantee = $1::regrole::oid and relnamespace = 'public'::regnamespace"
        " group by c.relname",
        f'"{role}"',
    )
    assert {row["relname"]: " ".join(row["rights"]) for row in rows} == {
        **dict.fromkeys(("orders", "payments", "payment_ids", "order_references", "shipments"), "INSERT SELECT UPDATE"),
        **dict.fromkeys(("payment_authorizations", "payment_intents"), "INSERT SELECT UPDATE"),
        **dict.fromkeys(("payment_differences", "payment_reconciliations"), "INSERT SELECT UPDATE"),
        "unshown_payments": "DELETE INSERT SELECT UPDATE",
        **dict.fromkeys(("events", "payment_entries", "payment_references"), "INSERT SELECT"),
        "event_ids": "USAGE",
        **dict.fromkeys(("recorded_orders", "pending_payments", "schema_migrations"), "SELECT"),
        **dict.fromkeys(("recorded_payments", "derived_payments", "payment_discrepancies"), "SELECT"),
        **dict.fromkeys(("payment_totals_by_day", "open_authorizations_by_day"), "SELECT"),
    }


async def test_migrations_need_the_role_that_owns_the_tables(empty_postgres_url: str, postgres_url: str) -> None:
    user = urlsplit(postgres_url).username
    assert user is not None
    with pytest.raises(WrongRole, match="it is the role that migrates"):
        await grant(postgres_url, user)
    with pytest.raises(WrongRole, match='create it: create role "no-such-role" login'):
        await grant(postgres_url, "no-such-role")
    assert await migrate(empty_postgres_url)


async def test_superuser_and_member_of_the_owner_are_rejected_as_runtime_role(postgres_url: str, role: str) -> None:
    owner = await asyncpg.connect(postgres_url)
    try:
        await owner.execute(f'alter role "{role}" superuser')
        with pytest.raises(WrongRole, match="it is a superuser"):
            await grant(postgres_url, role)
        await owner.execute(f'alter role "{role}" nosuperuser')
        await owner.execute(f'grant "{urlsplit(postgres_url).username}" to "{role}"')
        with pytest.raises(WrongRole, match="it is a member of the role that migrates"):
            await grant(postgres_url, role)
        await owner.execute(f'revoke "{urlsplit(postgres_url).username}" from "{role}"')
    finally:
        await owner.close()
