"""Record every life on the present code as a new shape: `python tests/histories/record.py 0002-what-changed`.

A shape that is there is left alone: orders with such a history may still run. `--commands` writes the
fingerprint of the newest shape anew, after a change that its histories take and that was meant.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflows"))

from commands import WORKFLOWS, play
from fleet import Fleet, fleet
from lives import LIVES
from shapes import COMMANDS, FOLDER, SEALED, recorded, sealing, shapes, write
from temporalio.client import Client, WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode

from orderfleet.domain import names
from orderfleet.temporal.data_converter import DATA_CONVERTER
from support.backing import session

PATIENCE = 60
"""Seconds a life may take."""


SEALED_LIVES = ("shipped", "dispatch-failed", "address-changed-during-the-charge")
"""Enough to have every kind of payload that goes encrypted: inputs, results, signals, updates, failures, markers."""


async def _record(shape: Path, converter: DataConverter = DATA_CONVERTER, lives: Collection[str] = LIVES) -> None:
    with session() as backing, backing.database(migrated=True) as url:
        client = await Client.connect(backing.temporal_address(), data_converter=converter)
        for name in lives:
            play_life = LIVES[name]
            async with fleet(client, url, names.ORDERS_TASK_QUEUE, names.SHIPPING_TASK_QUEUE) as made:
                await asyncio.wait_for(play_life(made, name), PATIENCE)
            runs = await _histories(made, name)
            write(shape, runs)
            print(f"{name}: {', '.join(runs)}")


async def _histories(made: Fleet, order_id: str) -> dict[str, WorkflowHistory]:
    """Every run of the order and of what belongs to it, in the order of their starts."""
    wanted = {
        names.order_workflow_id(order_id): "order",
        **{names.shipment_id(order_id, attempt): f"shipping-{attempt}" for attempt in (1, 2)},
        names.refund_workflow_id(names.default_payment_id(order_id)): "refund",
        names.compensation_workflow_id(order_id): "compensation",
        f"{names.ORPHAN_SWEEP}-{order_id}": "orphan-sweep",
    }
    found: dict[str, WorkflowHistory] = {}
    for workflow_id, name in wanted.items():
        run = made.temporal.get_workflow_handle(workflow_id)
        try:
            history = await run.fetch_history()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            continue  # this life has none
        earlier = history.events[0].workflow_execution_started_event_attributes.continued_execution_run_id
        if earlier:
            first = made.temporal.get_workflow_handle(workflow_id, run_id=earlier)
            found[f"{order_id}.{name}-before"] = await first.fetch_history()
        found[f"{order_id}.{name}"] = history
    return found


async def _write_commands(shape: Path, converter: DataConverter = DATA_CONVERTER) -> None:
    """Write what the present code does with a shape's histories."""
    played = await play(recorded(shape), WORKFLOWS, converter)
    if played.refused:
        raise SystemExit("\n".join(f"{name}: {why}" for name, why in played.refused.items()))
    (shape / COMMANDS).write_text(played.text(), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", nargs="?", help="such as 0002-what-changed")
    parser.add_argument("--commands", action="store_true", help="write the newest shape's fingerprint anew, no more")
    given = parser.parse_args()
    if given.commands:
        asyncio.run(_write_commands(shapes()[-1]))
        if (shapes()[-1] / SEALED).is_dir():
            asyncio.run(_write_commands(shapes()[-1] / SEALED, sealing()))
        return
    number = len(shapes()) + 1
    if not given.shape or not re.fullmatch(rf"{number:04d}-[a-z0-9-]+", given.shape):
        parser.error(f"name the new shape {number:04d}-what-changed, in small letters")
    shape = FOLDER / given.shape
    shape.mkdir()
    try:
        asyncio.run(_record(shape))
        asyncio.run(_write_commands(shape))
        (shape / SEALED).mkdir()
        asyncio.run(_record(shape / SEALED, sealing(), SEALED_LIVES))
        asyncio.run(_write_commands(shape / SEALED, sealing()))
    except BaseException:
        shutil.rmtree(shape)
        raise


if __name__ == "__main__":
    main()
