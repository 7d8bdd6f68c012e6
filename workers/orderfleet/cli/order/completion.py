"""Order ids for shell completion: the newest of the record that begin with what was typed.

The verbs' arguments name it, and a shell calls it at each press of the key: it must be quick, and say
nothing where it can't find out.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from orderfleet.cli import connection, loop

if TYPE_CHECKING:
    from orderfleet.runtime.settings import Settings

PATIENCE: Final = timedelta(seconds=1)
"""How long the record may take: longer than that nobody waits for a key."""
LOOKED_AT: Final = 200
"""Newest orders: an older one's id is typed or pasted."""


def order_ids(incomplete: str) -> list[tuple[str, str]]:
    """The ids that begin with `incomplete`, newest first, each with its order's step; none if nobody answers."""
    # A connection that is given up in the middle is told to asyncio's logger, which would write into the line
    # that is being typed.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        # What has to be loaded first is not the record's fault.
        from orderfleet import store  # noqa: F401, PLC0415 - `--help` doesn't need it

        settings = connection.settings_here().model_copy(update={"database_timeout": PATIENCE})
        found = loop.run(asyncio.wait_for(_newest(settings), PATIENCE.total_seconds()))
    except Exception:  # noqa: BLE001 - whatever it is, the person is in the middle of typing
        return []
    return [(order_id, step) for order_id, step in found if order_id.startswith(incomplete)]


async def _newest(settings: Settings) -> list[tuple[str, str]]:
    from orderfleet.contracts.listing import OrderFilter  # noqa: PLC0415 - `--help` needs none of these
    from orderfleet.store import OrderReads, connect  # noqa: PLC0415

    async with connect(settings, "completion") as database:
        page = await OrderReads(database).orders_page(OrderFilter(), limit=LOOKED_AT)
    return [(order.order_id, str(order.step)) for order in page.orders]
