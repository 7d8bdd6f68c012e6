"""Faults of the provider server, scripted or drawn from a seed.

A fault is an object `{"fault": NAME, …}`. With a fault of `BEFORE` the server does not do the work. With one of `AFTER`
it does the work, and its answer is lost, late, repeated or malformed.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict, deque
from typing import Any

from aiohttp import web

from provider_server.work import Reply

BEFORE = ("drop", "in_progress", "too_many", "unavailable", "html", "empty", "redirect")
AFTER = ("drop_after", "late", "late_work", "twice", "again", "half", "broken", "wrong", "huge", "mute")
ANSWER = "answer"
"""Answers with the `status`, `headers` and `body` of the fault, without doing the work."""

Fault = dict[str, Any]


class Plan:
    """Chooses the fault of each call.

    Args:
        rate: share of the calls that get a fault.
        seed: with the same seed the nth call of a key gets the same fault in every run.
        late: delay of a late answer, in seconds.
    """

    def __init__(self, rate: float, seed: int, late: float) -> None:
        self.script: dict[str, deque[Fault]] = defaultdict(deque)
        self._counts: dict[str, int] = defaultdict(int)
        self._rate, self._seed, self._late = rate, seed, late

    def draw(self, path: str, key: str) -> Fault:
        if self.script[path]:
            return {"seconds": self._late, **self.script[path].popleft()}
        self._counts[key] += 1
        dice = random.Random(f"{self._seed}/{path}/{key}/{self._counts[key]}")
        if dice.random() >= self._rate:
            return {"fault": ""}
        return {"fault": dice.choice((*BEFORE, *AFTER)), "seconds": self._late}


def answer_without_work(fault: Fault) -> web.Response | None:  # noqa: PLR0911 - one for each fault
    """Return the answer of a fault in place of the work; None if the work is to be done."""
    headers = {"Retry-After": "0"}
    match fault["fault"]:
        case "drop":
            return web.Response()
        case "in_progress":
            return web.json_response({"detail": "this key is in progress"}, status=409)
        case "too_many":
            return web.json_response({"detail": "too many requests"}, status=429, headers=headers)
        case "unavailable":
            return web.Response(text="<html>maintenance</html>", status=503, headers=headers)
        case "html":
            return web.Response(text="<html>sign in</html>", content_type="text/html")
        case "empty":
            return web.Response(status=204)
        case "redirect":
            return web.Response(status=307, headers={"Location": "/charges"})
        case "answer":
            body = fault.get("body", "")
            text = body if isinstance(body, str) else json.dumps(body)
            return web.Response(text=text, status=fault["status"], headers=fault.get("headers", {}))
    return None


async def answer_with_fault(request: web.Request, fault: Fault, reply: Reply) -> web.Response:
    """Return the answer to the work, changed by the fault."""
    status, body = reply
    answer = web.json_response(body, status=status)
    raw = json.dumps(body).encode()
    match fault["fault"]:
        case "late":
            await asyncio.sleep(fault["seconds"])
        case "twice" if request.transport is not None:
            _write(request.transport, status, raw)
        case "again" if request.transport is not None:
            asyncio.get_running_loop().call_later(fault["seconds"], _write, request.transport, status, raw)
        case "half" if request.transport is not None:
            request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + raw)
            request.transport.close()
        case "broken":
            return web.json_response({"detail": "it broke"}, status=500)
        case "wrong":
            name = "payment_id" if "payment_id" in body else "key"
            return web.json_response({**body, name: "another"}, status=status)
        case "huge":
            return web.json_response({**body, "padding": "x" * 100_000}, status=status)
        case "mute":
            return web.json_response({}, status=status)
    return answer


def _write(transport: asyncio.Transport, status: int, raw: bytes) -> None:
    transport.write(f"HTTP/1.1 {status} Repeated\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw)


def abort(request: web.Request) -> None:
    """Abort the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
