"""Workers of one release on the schema of the next one, as during an upgrade and after a rollback."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from temporalio.client import Client

from orderfleet.domain import names
from orderfleet.domain.order import Item, Review
from orderfleet.domain.status import Step
from orderfleet.store.migrate import migrate, pending
from orderfleet.store.migration_files import MigrationError, default_directory, read
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet_local.stack import paths
from support.factories import automatic_order
from support.initial_migrations import INITIAL
from support.ledgers import Ledgers, order_errors
from support.polling import eventually
from support.role_processes import RoleProcesses

pytestmark = pytest.mark.slow

EXPAND = """\
-- An example of an expanding migration: adds a column and a table, and replaces a function that workers call.
alter table shipments add column carrier_name text;
create function copy_carrier() returns trigger language plpgsql as $$
begin
    new.carrier_name := coalesce(new.carrier_name, new.carrier);
    return new;
end;
$$;
create trigger copy_carrier before insert or update on shipments for each row execute function copy_carrier();
update shipments set carrier_name = carrier;

create table event_counts (order_id text primary key references orders, inserted bigint not null);
insert into event_counts select order_id, count(*) from events group by order_id;
alter function insert_events(text, date, jsonb) rename to insert_uncounted_events;
create function insert_events(of_order text, of_month date, new_events jsonb) returns bigint language plpgsql as $$
declare
    added bigint := insert_uncounted_events(of_order, of_month, new_events);
begin
    insert into event_counts values (of_order, added)
    on conflict (order_id) do update set inserted = event_counts.inserted + excluded.inserted;
    return added;
end;
$$;
"""
CONTRACT = """\
-- oldest: {oldest}
-- An example of a contracting migration: drops a function that only the release before calls.
drop function insert_events(text, jsonb);
"""


def later_migrations() -> list[str]:
    """Migrations since the first release whose previous release the current schema supports."""
    found = read(default_directory())
    oldest = max(each.oldest or 1 for each in found)
    return [each.name for each in found if each.number > max(oldest, INITIAL)]


def git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=paths.checkout(), capture_output=True, check=False, timeout=60)
    if done.returncode != 0:
        pytest.skip(
            f"the code before the migration is only in the git history: git {arguments[0]}: {done.stderr.decode()}"
        )
    return done.stdout


def before_the_migration(name: str, folder: Path) -> str:
    """Extract the package of the commit before a migration; its PYTHONPATH."""
    if git("rev-parse", "--is-shallow-repository").strip() == b"true":
        pytest.skip("the code before the migration is only in the git history: git fetch --unshallow")
    file = f"migrations/{name}"
    added = git("log", "--format=%H", "--diff-filter=A", "--", file).decode().split()
    # A file that is not committed is newer than every commit.
    commit = f"{added[-1]}^" if added else "HEAD"
    with tarfile.open(fileobj=io.BytesIO(git("archive", commit, "workers", "migrations"))) as archive:
        archive.extractall(folder, filter="data")
    assert not (folder / file).exists()
    return str(folder / "workers")


class ReleaseOrders:
    """Orders on the workers of one release, and their ledger."""

    def __init__(self, client: Client, reads: OrderReads, queues: Any, ledger: Path) -> None:
        self._client = client
        self._reads = reads
        self._queues = queues
        self._ledger = ledger
        self.ids: list[str] = []

    async def start(self, name: str, **changes: Any) -> Any:
        order_id = f"{self._queues.orders}-{name}"
        self.ids.append(order_id)
        return await self._client.start_workflow(
            names.ORDER_WORKFLOW,
            automatic_order(order_id, self._queues, **changes),
            id=names.order_workflow_id(order_id),
            task_queue=self._queues.orders,
        )

    async def steps(self) -> dict[str, Step]:
        found = {order_id: await self._reads.order(order_id) for order_id in self.ids}
        return {order_id.rpartition("-")[2]: each.status.step for order_id, each in found.items() if each}

    async def end(self) -> dict[str, Step]:
        """Wait until every order has ended and matches its ledger."""

        async def recorded() -> dict[str, Any]:
            found = {order_id: await self._reads.order(order_id) for order_id in self.ids}
            return {order_id: each.status for order_id, each in found.items() if each and each.status.ended}

        def matches(found: dict[str, Any]) -> bool:
            money, parcels = Ledgers(self._ledger).money(), Ledgers(self._ledger).parcels()
            return len(found) == len(self.ids) and not any(
                order_errors(order_id, each, money, parcels) for order_id, each in found.items()
            )

        await eventually(recorded, matches, 120)
        return await self.steps()


@pytest.fixture
async def stack() -> Any:
    async with AsyncExitStack() as opened:
        yield opened


async def work(
    stack: AsyncExitStack, processes: RoleProcesses, client: Client, queues: Any, url: str, **environment: str
) -> ReleaseOrders:
    """Start a worker process; orders for it."""
    database = await stack.enter_async_context(Database(url, pool_size=2, timeout=timedelta(seconds=10)))
    ledger = processes.folder / "ledger.db"
    worker = await processes.worker("all", ORDERFLEET_SIMULATED_LEDGER=str(ledger), **environment)
    await worker.answers("/readyz", 200)
    return ReleaseOrders(client, OrderReads(database), queues, ledger)


REFUSED = (Item(sku="refuse-dispatch", qty=1, price="5.00"),)


async def test_workers_of_this_release_finish_orders_while_the_next_release_migrates(
    stack: AsyncExitStack,
    processes: RoleProcesses,
    temporal_client: Client,
    postgres_url: str,
    task_queues: Any,
    tmp_path: Path,
) -> None:
    number = read(default_directory())[-1].number + 1
    files = tmp_path / "migrations"
    shutil.copytree(default_directory(), files)
    orders = await work(stack, processes, temporal_client, task_queues, postgres_url)
    # When the schema changes, the worker's sessions have prepared statements and two orders wait.
    await orders.start("before")
    approved = await orders.start("approved", review=Review())
    canceled = await orders.start("canceled", review=Review())
    waiting = {"before": Step.SHIPPED, "approved": Step.MANUAL_REVIEW, "canceled": Step.MANUAL_REVIEW}
    await eventually(orders.steps, lambda found: found == waiting, 120)

    (files / f"{number:04d}_expand.sql").write_text(EXPAND)
    assert await migrate(postgres_url, files) == [f"{number:04d}_expand.sql"]
    await approved.signal(names.APPROVE)
    await canceled.signal(names.CANCEL_ORDER, "changed my mind")
    await orders.start("after")
    await orders.start("refunded", items=REFUSED)
    assert await orders.end() == {
        **dict.fromkeys(("before", "approved", "after"), Step.SHIPPED),
        "canceled": Step.CANCELED,
        "refunded": Step.FAILED,
    }

    connection = await asyncpg.connect(postgres_url)
    counted = await connection.fetchval(
        "select count(*) from event_counts"
        " where inserted = (select count(*) from events where events.order_id = event_counts.order_id)"
    )
    names_copied = await connection.fetchval(
        "select bool_and(carrier_name is not distinct from carrier) from shipments"
    )
    await connection.close()
    assert (counted, names_copied) == (len(orders.ids), True)
    assert await pending(postgres_url, accept_newer=True) == []


async def test_release_that_a_contracting_migration_leaves_behind_is_rejected(
    postgres_url: str, tmp_path: Path
) -> None:
    number = read(default_directory())[-1].number + 1
    files = tmp_path / "migrations"
    shutil.copytree(default_directory(), files)
    (files / f"{number:04d}_expand.sql").write_text(EXPAND)
    (files / f"{number + 1:04d}_contract.sql").write_text(CONTRACT.format(oldest=f"{number:04d}"))
    await migrate(postgres_url, files)
    with pytest.raises(MigrationError, match=f"which only works with releases that have number {number:04d}"):
        await migrate(postgres_url, accept_newer=True)
    (files / f"{number + 1:04d}_contract.sql").unlink()
    assert await migrate(postgres_url, files, accept_newer=True) == []


@pytest.mark.parametrize("migration", later_migrations())
async def test_workers_from_before_a_migration_finish_orders_on_the_current_schema(
    stack: AsyncExitStack,
    processes: RoleProcesses,
    temporal_client: Client,
    postgres_url: str,
    task_queues: Any,
    tmp_path: Path,
    migration: str,
) -> None:
    before = before_the_migration(migration, tmp_path / "before")
    orders = await work(stack, processes, temporal_client, task_queues, postgres_url, PYTHONPATH=before)
    await orders.start("shipped")
    await orders.start("refunded", items=REFUSED)
    canceled = await orders.start("canceled", review=Review())
    await canceled.signal(names.CANCEL_ORDER, "changed my mind")
    assert await orders.end() == {"shipped": Step.SHIPPED, "canceled": Step.CANCELED, "refunded": Step.FAILED}
