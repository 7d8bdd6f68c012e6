"""`orderfleet order describe`: one order as record, workflow and Kubernetes see it, and what it waits for.

A side that can't be asked is named with its reason; the others are shown all the same.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orderfleet.cli import connection
from orderfleet.cli.order.session import TABLE, OrderId, ask, named
from orderfleet.cli.show import Output, OutputOption, console, print_document

if TYPE_CHECKING:
    from orderfleet.cli.cluster import KubernetesOrder
    from orderfleet.cli.connection import Reach
    from orderfleet.cli.order.sides import Sides
    from orderfleet.client import SourcedStatus, WorkflowView
    from orderfleet.contracts.record import RecordedOrder
    from orderfleet.runtime.settings import Settings


def describe(order_id: OrderId, output: OutputOption = TABLE) -> None:
    """Show all there is about an order: record, workflow, what it is at, payment, shipments, Kubernetes."""
    settings = connection.settings_here()
    sides = ask(lambda there: _look(there, order_id, settings), "looking at every side", settings)
    if output is not Output.TABLE:
        print_document(sides.document(), output)
        return
    from orderfleet.cli.order.sides import tables  # noqa: PLC0415 - `--help` doesn't need it

    for part in tables(sides):
        console().print(part)


async def _look(there: Reach, order_id: str, settings: Settings) -> Sides:
    """Look at each side.

    Raises:
        OrderNotFound: no side knows the order.
        StoreUnavailable: neither record nor Temporal could be asked.
    """
    from orderfleet.cli.order.sides import Sides  # noqa: PLC0415 - `--help` needs none of these

    order_id = await named(there, order_id)
    unknown: dict[str, str] = {}
    record, workflow = await asyncio.gather(_record(there, order_id, unknown), _workflow(there, order_id, unknown))
    live = await _live(there, order_id, unknown) if workflow else None
    if record is None and workflow is None:
        # Says which of them is away, or that there is no such order.
        await there.desk.recorded(order_id)
    owner = record.owner if record else workflow.owner if workflow else ""
    kubernetes = await _kubernetes(owner, settings, unknown)
    return Sides(order_id, record, workflow, live, kubernetes, unknown)


async def _record(there: Reach, order_id: str, unknown: dict[str, str]) -> RecordedOrder | None:
    from orderfleet.contracts.errors import StoreUnavailable  # noqa: PLC0415

    try:
        record = await there.reads.order(order_id)
    except StoreUnavailable as error:
        unknown["record"] = str(error)
        return None
    if record is None:
        unknown["record"] = "not recorded yet"
    return record


async def _workflow(there: Reach, order_id: str, unknown: dict[str, str]) -> WorkflowView | None:
    from orderfleet.client import OrderNotFound, TemporalUnavailable  # noqa: PLC0415

    try:
        return await there.inspector.workflow(order_id)
    except OrderNotFound:
        unknown["workflow"] = "Temporal has it no more"
    except TemporalUnavailable as error:
        unknown["workflow"] = str(error)
    return None


async def _live(there: Reach, order_id: str, unknown: dict[str, str]) -> SourcedStatus | None:
    from orderfleet.client import Source, TemporalUnavailable  # noqa: PLC0415
    from orderfleet.contracts.errors import StoreUnavailable  # noqa: PLC0415

    try:
        live = await there.desk.live(order_id)
    except (TemporalUnavailable, StoreUnavailable) as error:
        unknown["workflow"] = str(error)
        return None
    if live.source is Source.WORKFLOW:
        return live
    unknown["workflow"] = "no worker answers for it"
    return None


async def _kubernetes(owner: str, settings: Settings, unknown: dict[str, str]) -> KubernetesOrder | None:
    from orderfleet.cli.cluster import KubernetesUnknown, find_order  # noqa: PLC0415

    try:
        return await asyncio.to_thread(find_order, owner, settings)
    except KubernetesUnknown as error:
        unknown["kubernetes"] = str(error)
        return None
