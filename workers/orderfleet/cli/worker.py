"""`orderfleet worker`: the processes that run the steps of orders."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from orderfleet.cli import role
from orderfleet.cli.errors import read_settings

if TYPE_CHECKING:
    from orderfleet.process import Stop
    from orderfleet.settings import Settings

app = typer.Typer(add_completion=False)


class Kind(StrEnum):
    """Which steps a worker runs."""

    ORDERS = "orders"
    SHIPPING = "shipping"
    ALL = "all"


@app.command(
    epilog="Examples:\n\n  $ orderfleet worker orders\n\n  $ ORDERFLEET_HEALTH_PORT=8081 orderfleet worker all"
)
def worker(kind: Annotated[Kind, typer.Argument(help="Which steps; `all` runs both in one process.")]) -> None:
    """Run a worker until SIGTERM; then finish running activities within ORDERFLEET_DRAIN_TIMEOUT and exit 0.

    Start as many as the load needs: they share the task queues.

    Outside a local stack, set ORDERFLEET_PAYMENT_PROVIDER and ORDERFLEET_CARRIER first.
    """
    settings = read_settings()
    if kind is Kind.ORDERS:
        from orderfleet.orders.worker import run  # noqa: PLC0415 - a worker loads only its own role
    elif kind is Kind.SHIPPING:
        from orderfleet.shipping.worker import run  # noqa: PLC0415
    else:
        run = _both
    role.run(f"{kind}-worker" if kind is not Kind.ALL else "worker", run, settings)


async def _both(settings: Settings, stop: Stop) -> None:
    from orderfleet.orders.worker import build as orders  # noqa: PLC0415
    from orderfleet.providers.registry import CARRIERS, PAYMENT_PROVIDERS  # noqa: PLC0415
    from orderfleet.shipping.worker import build as shipping  # noqa: PLC0415
    from orderfleet.store.pool import connect  # noqa: PLC0415
    from orderfleet.temporal.worker import serve  # noqa: PLC0415

    async with (
        connect(settings, "all") as database,
        PAYMENT_PROVIDERS.open(settings) as provider,
        CARRIERS.open(settings) as carrier,
    ):
        await serve(settings, stop, [orders(settings, database, provider), shipping(settings, database, carrier)])
