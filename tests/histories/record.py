"""Records every life with the current code as a new shape: `make histories SHAPE=0002-what-changed`.

An existing shape is not changed, because orders with such a history may still run. `--commands` writes the fingerprint
of the newest shape again, after an intended change that replays its histories.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowExecution, WorkflowHandle, WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from histories.commands import WORKFLOWS, replay
from histories.lives import LIVES
from histories.payment_lives import PART
from histories.shapes import COMMANDS, ENCRYPTED, FOLDER, encrypting_converter, recorded, shapes, write
from orderfleet.domain import names
from orderfleet.temporal.data_converter import DATA_CONVERTER
from support.backing import session
from support.polling import eventually
from support.workflow_env import workflow_test_env

TIMEOUT = 60
"""Seconds for a life."""


ENCRYPTED_LIVES = ("shipped", "dispatch-failed", "address-changed-during-the-charge")
"""They have every kind of encrypted payload: inputs, results, signals, updates, failures, markers."""


async def _record(shape: Path, converter: DataConverter = DATA_CONVERTER, lives: Collection[str] = LIVES) -> None:
    with session() as backing:
        client = await Client.connect(backing.temporal_address(), data_converter=converter)
        for name in lives:
            # With a database of its own, a life has no orders of another one.
            with backing.database(migrated=True) as url:
                queues = names.ORDERS_TASK_QUEUE, names.SHIPPING_TASK_QUEUE
                async with workflow_test_env(client, url, *queues) as running:
                    await asyncio.wait_for(LIVES[name](running, name), TIMEOUT)
            runs = await _histories(client, name)
            write(shape, runs)
            print(f"{name}: {', '.join(runs)}")


async def _histories(client: Client, order_id: str) -> dict[str, WorkflowHistory]:
    """Every run of the order's workflows, in the order of their starts."""
    payment_id = names.default_payment_id(order_id)
    workflow_ids = {
        names.order_workflow_id(order_id): "order",
        **{names.shipment_id(order_id, attempt): f"shipping-{attempt}" for attempt in (1, 2)},
        names.refund_workflow_id(payment_id): "refund",
        names.refund_workflow_id(payment_id, refund_id=PART): "refund-part",
        names.compensation_workflow_id(order_id): "compensation",
        f"{names.ORPHAN_SWEEP}-{order_id}": "orphan-sweep",
        f"{names.RECONCILIATION}-{order_id}": "reconciliation",
    }
    found: dict[str, WorkflowHistory] = {}
    for workflow_id, name in workflow_ids.items():
        runs = await _runs(client, workflow_id)
        for number, run in enumerate(runs, start=1):
            suffix = "" if run is runs[-1] else f"-run-{number}"
            found[f"{order_id}.{name}{suffix}"] = await run.fetch_history()
    return found


async def _runs(client: Client, workflow_id: str) -> list[WorkflowHandle[Any, Any]]:
    """The runs of a workflow, oldest first; empty if there is no such workflow."""
    try:
        last = await client.get_workflow_handle(workflow_id).describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return []

    async def listed() -> list[WorkflowExecution]:
        return [run async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'")]

    runs = await eventually(listed, lambda runs: last.run_id in {run.run_id for run in runs})
    runs.sort(key=lambda run: run.start_time)
    return [client.get_workflow_handle(workflow_id, run_id=run.run_id) for run in runs]


async def _write_commands(shape: Path, converter: DataConverter = DATA_CONVERTER) -> None:
    """Write the current code's commands for a shape's histories."""
    result = await replay(recorded(shape), WORKFLOWS, converter)
    if result.failures:
        raise SystemExit("\n".join(f"{name}: {reason}" for name, reason in result.failures.items()))
    (shape / COMMANDS).write_text(result.text(), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", nargs="?", help="such as 0002-what-changed")
    parser.add_argument("--commands", action="store_true", help="only write the newest shape's fingerprint again")
    options = parser.parse_args()
    if options.commands:
        asyncio.run(_write_commands(shapes()[-1]))
        if (shapes()[-1] / ENCRYPTED).is_dir():
            asyncio.run(_write_commands(shapes()[-1] / ENCRYPTED, encrypting_converter()))
        return
    number = len(shapes()) + 1
    if not options.shape or not re.fullmatch(rf"{number:04d}-[a-z0-9-]+", options.shape):
        parser.error(f"name the new shape {number:04d}-what-changed, in small letters")
    shape = FOLDER / options.shape
    shape.mkdir()
    try:
        asyncio.run(_record(shape))
        asyncio.run(_write_commands(shape))
        (shape / ENCRYPTED).mkdir()
        asyncio.run(_record(shape / ENCRYPTED, encrypting_converter(), ENCRYPTED_LIVES))
        asyncio.run(_write_commands(shape / ENCRYPTED, encrypting_converter()))
    except BaseException:
        shutil.rmtree(shape)
        raise


if __name__ == "__main__":
    main()
