"""A payment provider and a carrier in one process, with injected faults. It records every call.

Run as `python -m provider_server.server FOLDER [--rate R …]`; it prints its port. The ledger is FOLDER/ledger.db.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from aiohttp import web

from orderfleet.domain.amount_limits import parse_amount_limits
from provider_server.faults import Plan, abort, answer_with_fault, answer_without_work
from provider_server.work import Reply, Work, key_of


class Server:
    """The routes."""

    def __init__(self, work: Work, plan: Plan, token_file: Path | None, pause: float) -> None:
        self._work, self._plan, self._token_file, self._pause = work, plan, token_file, pause
        self._calls: list[dict[str, Any]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/_calls", self._list_calls)
        app.router.add_post("/_script", self._change_script)
        app.router.add_get("/payments", self._handle)
        app.router.add_get("/payments/{payment_id}/{number}", self._handle)
        app.router.add_post("/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.Response:
        path = request.path
        reads = request.method == "GET"
        body: dict[str, Any] = {**request.match_info, **request.query} if reads else json.loads(await request.text())
        key = request.headers.get("Idempotency-Key", "")
        fault = self._plan.draw(path, key)
        call = {
            "method": request.method,
            "path": path,
            "at": asyncio.get_running_loop().time(),
            "headers": dict(request.headers),
            "body": body,
            "fault": fault["fault"],
            "peer": request.transport.get_extra_info("peername")[1] if request.transport else 0,
        }
        self._calls.append(call)
        if (rejection := self._reject(path, key, body, request)) is not None:
            return rejection
        if fault["fault"] == "late_work":
            await asyncio.sleep(fault["seconds"])
        answer = answer_without_work(fault)
        if answer is None:
            reply = await (self._read(body) if reads else self._work.by_path[path](body))
            await asyncio.sleep(self._pause)
            answer = await answer_with_fault(request, fault, reply)
        if fault["fault"] in {"drop", "drop_after"}:
            abort(request)
        call["status"] = answer.status
        return answer

    def _reject(self, path: str, key: str, body: dict[str, Any], request: web.Request) -> web.Response | None:
        token = self._token_file.read_text() if self._token_file else None
        if token is not None and request.headers.get("Authorization") != f"Bearer {token}":
            return web.json_response({"detail": "no such token"}, status=401)
        if request.method == "GET":
            return None
        if path not in self._work.by_path:
            return web.json_response({"detail": f"nothing at {path}"}, status=404)
        if key != key_of(path, body):
            return web.json_response({"detail": f"Idempotency-Key {key!r} is not {key_of(path, body)!r}"}, status=400)
        return None

    async def _read(self, query: dict[str, Any]) -> Reply:
        if "payment_id" in query:
            return await self._work.look_up(query["payment_id"], int(query["number"]))
        return await self._work.listed(query)

    async def _list_calls(self, _request: web.Request) -> web.Response:
        return web.json_response(self._calls)

    async def _change_script(self, request: web.Request) -> web.Response:
        script = await request.json()
        if script.get("clear"):
            self._plan.script[script["path"]].clear()
        self._plan.script[script["path"]].extend(script["faults"])
        return web.Response()


async def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--rate", type=float, default=0.0)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--late", type=float, default=1.0)
    arguments.add_argument("--pause", type=float, default=0.0, help="Seconds between work and answer.")
    arguments.add_argument("--held-back", type=float, default=0.0, help="Share of parcels that do not leave.")
    arguments.add_argument("--token-file", type=Path)
    arguments.add_argument("--limits", default="", help="Limits of amounts, as in the setting of the adapter.")
    options = arguments.parse_args()
    work = Work(options.folder / "ledger.db", options.held_back, parse_amount_limits(options.limits))
    server = Server(work, Plan(options.rate, options.seed, options.late), options.token_file, options.pause)
    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    # The parent holds the other end of the input: the server ends with the parent, also when that is killed.
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
