"""Runs the API as a process: wires it, listens, and drains on SIGTERM. `orderfleet api` calls it."""

from __future__ import annotations

import structlog

from orderfleet.api.app import create_app
from orderfleet.api.auth.choice import access_of
from orderfleet.api.fanout import Fanout
from orderfleet.api.readiness import Readiness
from orderfleet.api.server import serve
from orderfleet.api.services import PATIENCE, Services
from orderfleet.api.startup import refuse_unsafe
from orderfleet.client import CarrierDesk, OrderClient, OrderDesk
from orderfleet.runtime.health import HealthServer
from orderfleet.runtime.listening import listen
from orderfleet.runtime.process import Stop
from orderfleet.runtime.renewal import renewed
from orderfleet.runtime.settings import Environment, Settings
from orderfleet.runtime.temporal import connect as connect_to_temporal
from orderfleet.store import Feed, OrderReads
from orderfleet.store import connect as connect_to_store

_log = structlog.get_logger()


async def run(settings: Settings, stop: Stop) -> None:
    """Serve until asked to stop, then finish open requests within the drain bound.

    Raises:
        UnsafeSettings: see `startup` and `auth.choice`.
        WrongTokensFile: see `auth.tokens`.
        PortTaken: address or port can't be listened on.
    """
    refuse_unsafe(settings)
    access = access_of(settings)
    listener = listen(settings.api_host, settings.api_port, "API")
    # Lazily: an API that starts while Temporal is away answers 503 until it is back.
    temporal = await connect_to_temporal(settings, lazy=True)
    async with renewed(temporal, settings), connect_to_store(settings, "api") as database:
        reader = OrderReads(database)
        readiness = Readiness(
            {"Temporal": temporal.service_client.check_health, "the record": lambda: reader.orders([])}
        )
        client = OrderClient.of(temporal, settings, patience=PATIENCE)
        desk = OrderDesk(client, reader, patience=PATIENCE)
        carrier = CarrierDesk(client, desk, patience=PATIENCE)
        fanout = Fanout(Feed(database))
        app = create_app(Services(settings, desk, carrier, readiness, fanout, access))
        if access.people is None and settings.environment is not Environment.LOCAL:
            _log.warning("ORDERFLEET_API_AUTH is none: whoever reaches the API may change every order")

        async def draining() -> None:
            readiness.drain()
            await fanout.close()

        async with HealthServer(settings.health_host, settings.health_port, readiness.problem):
            await serve(app, listener, stop, settings, draining=draining)
