"""Watch of an Order with the real kubectl."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from orderfleet.cli import plugin
from orderfleet.cli.plugin import watch_arguments
from orderfleet.operator.main import login
from orderfleet_local.demo.view import watching
from support.factories import order_manifest


@asynccontextmanager
async def before_each_watch(act: Callable[[], Awaitable[object]]) -> AsyncIterator[str]:
    """A proxy of the API server that runs an action before each watch; yields its address."""
    info = login()
    connector = aiohttp.TCPConnector(ssl=info.as_ssl_context())

    async def forward(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            await act()
        headers = {name: request.headers[name] for name in ("Accept",) if name in request.headers}
        async with session.get(info.server + request.path_qs, headers=headers) as answer:
            response = web.StreamResponse(
                status=answer.status, headers={"Content-Type": answer.headers["Content-Type"]}
            )
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response

    app = web.Application()
    app.router.add_get("/{path:.*}", forward)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    async with aiohttp.ClientSession(connector=connector) as session:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield "http://{}:{}".format(*runner.addresses[0])
        finally:
            await runner.cleanup()


async def test_change_between_kubectl_get_and_watch_is_reported(operator_env, monkeypatch):
    monkeypatch.setattr(plugin, "WATCH_SECONDS", 600)
    name = operator_env.name()
    await operator_env.apply(order_manifest(name))
    change = ("--subresource=status", "--type=merge", "-p", '{"status":{"step":"receive"}}')
    async with before_each_watch(lambda: operator_env.kubectl("patch", "ofo", name, *change)) as server:
        config = ("--kubeconfig", str(operator_env.cluster.kubeconfig), "--server", server)
        command = [
            str(operator_env.cluster.program),
            *config,
            "--namespace",
            operator_env.cluster.namespace,
            *watch_arguments(name),
        ]
        with watching(command) as watch:
            found = await asyncio.to_thread(watch.wait_for, lambda status: status.get("step") == "receive", 60, list)
            assert found, watch.error
