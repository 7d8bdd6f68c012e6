"""A payment provider and a carrier as one process that misbehaves on purpose and records every call.

Run as `python server.py FOLDER [--rate R --seed N …]`; it prints its port. The books are in FOLDER/ledger.db.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from aiohttp import web

from provider_server.faults import Plan, cut, instead, told
from provider_server.work import Work, key_of


class Server:
    """The routes."""

    def __init__(self, work: Work, plan: Plan, token_file: Path | None, pause: float) -> None:
        self._work, self._plan, self._token_file, self._pause = work, plan, token_file, pause
        self._calls: list[dict[str, Any]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/_calls", self._told_calls)
        app.router.add_post("/_script", self._scripted)
        app.router.add_post("/{path:.*}", self._called)
        return app

    async def _called(self, request: web.Request) -> web.Response:
        path, raw = request.path, await request.text()
        asked: dict[str, Any] = json.loads(raw)
        key = request.headers.get("Idempotency-Key", "")
        fault = self._plan.draw(path, key)
        call = {
            "path": path,
            "at": asyncio.get_running_loop().time(),
            "headers": dict(request.headers),
            "body": asked,
            "fault": fault["fault"],
            "peer": request.transport.get_extra_info("peername")[1] if request.transport else 0,
        }
        self._calls.append(call)
        if (refusal := self._wrong(path, key, asked, request)) is not None:
            return refusal
        if fault["fault"] == "late_work":
            await asyncio.sleep(fault["seconds"])
        answer = instead(fault)
        if answer is None:
            done = await self._work.by_path[path](asked)
            await asyncio.sleep(self._pause)
            answer = await told(request, fault, done)
        if fault["fault"] in {"drop", "drop_after"}:
            cut(request)
        call["status"] = answer.status
        return answer

    def _wrong(self, path: str, key: str, asked: dict[str, Any], request: web.Request) -> web.Response | None:
        token = self._token_file.read_text() if self._token_file else None
        if token is not None and request.headers.get("Authorization") != f"Bearer {token}":
            return web.json_response({"detail": "no such token"}, status=401)
        if path not in self._work.by_path:
            return web.json_response({"detail": f"nothing at {path}"}, status=404)
        if key != key_of(path, asked):
            return web.json_response({"detail": f"Idempotency-Key {key!r} is not {key_of(path, asked)!r}"}, status=400)
        return None

    async def _told_calls(self, _request: web.Request) -> web.Response:
        return web.json_response(self._calls)

    async def _scripted(self, request: web.Request) -> web.Response:
        script = await request.json()
        if script.get("anew"):
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
    arguments.add_argument("--held-back", type=float, default=0.0)
    arguments.add_argument("--token-file", type=Path)
    given = arguments.parse_args()
    work = Work(given.folder / "ledger.db", given.held_back)
    server = Server(work, Plan(given.rate, given.seed, given.late), given.token_file, given.pause)
    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    # Whoever started it holds the other end of its input: it ends with them, however they end.
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
