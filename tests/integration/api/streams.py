"""A client of `/orders/{id}/watch` that parses its server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx


class Stream:
    """The event stream of one watcher."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self._lines = answer.aiter_lines()
        self.comments = 0

    async def next(self, bound: float = 20) -> tuple[str, dict[str, Any], str | None]:
        """Name, data and id of the next event.

        Raises:
            EOFError: the stream has ended.
        """
        async with asyncio.timeout(bound):
            found: dict[str, str] = {}
            async for line in self._lines:
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(": ")
                    found[name] = value
                elif found:
                    return found["event"], json.loads(found["data"]), found.get("id")
        raise EOFError

    async def until(self, step: str) -> dict[str, Any]:
        while True:
            name, data, _ = await self.next()
            assert name == "status"
            if data["step"] == step:
                return data

    async def closed(self) -> bool:
        async with asyncio.timeout(60):
            return [line async for line in self._lines if line and not line.startswith(":")] == []


@asynccontextmanager
async def watching(caller: httpx.AsyncClient, order_id: str, **headers: str) -> AsyncIterator[Stream]:
    async with caller.stream("GET", f"/orders/{order_id}/watch", headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer)
