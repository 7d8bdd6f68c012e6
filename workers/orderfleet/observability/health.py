"""The health port of workers, operator and API: `/healthz`, `/readyz`, `/metrics`.

It runs in the role's own event loop: when the loop is blocked, `/healthz` does not answer, and Kubernetes restarts the
pod.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Self

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from orderfleet.process import open_port

Readiness = Callable[[], Awaitable[str | None] | str | None]
"""Returns why the role is not ready, or None when it is; directly, or after it asked other services."""


class HealthServer:
    """Serves the health endpoints while the context is open.

    Args:
        host: address to listen on.
        port: to listen on; 0 for a free one.
        not_ready: called at each `/readyz`.

    Raises:
        PortUnavailable: when the context is entered and the process can't listen there.
    """

    def __init__(self, host: str, port: int, not_ready: Readiness) -> None:
        self._host = host
        self._port = port
        self._not_ready = not_ready
        app = web.Application()
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", make_aiohttp_handler())
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)

    async def __aenter__(self) -> Self:
        listener = open_port(self._host, self._port, "HEALTH")
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._runner.addresses[0][1])

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _readyz(self, _request: web.Request) -> web.Response:
        asked = self._not_ready()
        problem = asked if asked is None or isinstance(asked, str) else await asked
        return web.Response(status=503 if problem else 200, text=f"{problem or 'ready'}\n")
