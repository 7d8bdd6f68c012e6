"""The health port of workers, operator and API: `/healthz`, `/readyz`, `/metrics`.

It runs in the role's own event loop: when the loop is blocked, `/healthz` does not answer, and Kubernetes restarts the
pod.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from orderfleet.process import open_port

Readiness = Callable[[], Awaitable[str | None] | str | None]
"""Returns why the role is not ready, or None when it is; directly, or after it asked other services."""


@asynccontextmanager
async def serve_health(host: str, port: int, not_ready: Readiness) -> AsyncIterator[int]:
    """Serve the health endpoints while the context is open; yield the port.

    Args:
        host: address to listen on.
        port: to listen on; 0 for a free one.
        not_ready: called at each `/readyz`.

    Raises:
        PortUnavailable: the process can't listen there.
    """

    async def healthz(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        asked = not_ready()
        problem = asked if asked is None or isinstance(asked, str) else await asked
        return web.Response(status=503 if problem else 200, text=f"{problem or 'ready'}\n")

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", make_aiohttp_handler())
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    listener = open_port(host, port, "HEALTH")
    await runner.setup()
    await web.SockSite(runner, listener).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
