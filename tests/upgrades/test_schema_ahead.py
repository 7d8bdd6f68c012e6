"""Workers as they were before a migration, on today's schema: so it is during an upgrade, and after a rollback."""

from __future__ import annotations

import io
import subprocess
import tarfile
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client

from books import Books, wrong
from orderfleet.contracts import names
from orderfleet.contracts.order import Item, Review
from orderfleet.contracts.status import Step
from orderfleet.stack import paths
from orderfleet.store import Database, OrderReads
from orderfleet.store.migration_files import default_directory, read
from worker_processes import WorkerFleet, order, until

pytestmark = pytest.mark.slow


def not_left_behind() -> list[str]:
    """Migrations whose release before works on today's schema, as those that followed say."""
    there = read(default_directory())
    oldest = max(each.oldest or 1 for each in there)
    return [each.name for each in there if each.number > oldest]


def git(*arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=paths.checkout(), capture_output=True, check=False, timeout=60)
    if done.returncode != 0:
        pytest.skip(
            f"the code before the migration is in the history alone: git {arguments[0]}: {done.stderr.decode()}"
        )
    return done.stdout


def before_the_migration(name: str, folder: Path) -> str:
    """The package of the commit before; answers the PYTHONPATH that has it."""
    if git("rev-parse", "--is-shallow-repository").strip() == b"true":
        pytest.skip("the code before the migration is in the history alone: git fetch --unshallow")
    file = f"migrations/{name}"
    added = git("log", "--format=%H", "--diff-filter=A", "--", file).decode().split()
    # One that isn't committed yet was added after everything.
    commit = f"{added[-1]}^" if added else "HEAD"
    with tarfile.open(fileobj=io.BytesIO(git("archive", commit, "workers", "migrations"))) as archive:
        archive.extractall(folder, filter="data")
    assert not (folder / file).exists()
    return str(folder / "workers")


@pytest.mark.parametrize("migration", not_left_behind())
async def test_workers_from_before_a_migration_work_on_todays_schema(
    temporal_address: str, temporal_client: Client, postgres_url: str, task_queues: Any, tmp_path: Path, migration: str
) -> None:
    ledger = tmp_path / "ledger.db"
    environment = {
        "PYTHONPATH": before_the_migration(migration, tmp_path / "before"),
        "ORDERFLEET_ENVIRONMENT": "local",
        "ORDERFLEET_TEMPORAL_ADDRESS": temporal_address,
        "ORDERFLEET_DATABASE_URL": postgres_url,
        "ORDERS_TASK_QUEUE": task_queues.orders,
        "SHIPPING_TASK_QUEUE": task_queues.shipping,
        "ORDERFLEET_SIMULATED_LEDGER": str(ledger),
        "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
        "ORDERFLEET_DRAIN_TIMEOUT": "5s",
    }
    ids = {name: f"{task_queues.orders}-{name}" for name in ("shipped", "canceled", "refunded")}
    refused = (Item(sku="refuse-dispatch", qty=1, price="5.00"),)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(postgres_url, pool_size=2, timeout=timedelta(seconds=10)))
        reads = OrderReads(database)
        worker = await WorkerFleet(stack, environment, tmp_path).worker("all")
        await worker.answers("/readyz", 200)
        given = {"refunded": {"items": refused}, "canceled": {"review": Review()}}
        for name, order_id in ids.items():
            started = await temporal_client.start_workflow(
                names.ORDER_WORKFLOW,
                order(order_id, task_queues, **given.get(name, {})),
                id=names.order_workflow_id(order_id),
                task_queue=task_queues.orders,
            )
            if name == "canceled":
                await started.signal(names.CANCEL_ORDER, "changed my mind")

        async def recorded() -> dict[str, Any]:
            found = {name: await reads.order(order_id) for name, order_id in ids.items()}
            return {name: each.status for name, each in found.items() if each and each.status.ended}

        def settled(found: dict[str, Any]) -> bool:
            money, parcels = Books(ledger).money(), Books(ledger).parcels()
            return found.keys() == ids.keys() and not any(
                wrong(ids[name], each, money, parcels) for name, each in found.items()
            )

        statuses = await until(recorded, settled, 120)
        ends = {name: status.step for name, status in statuses.items()}
        assert ends == {"shipped": Step.SHIPPED, "canceled": Step.CANCELED, "refunded": Step.FAILED}
