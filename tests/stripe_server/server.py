"""Stripe's API over HTTP for the tests: idempotency keys, pages, faults, and webhooks. It keeps state in `Books`.

A fault of the next request of an operation is one of: `drop` (acts, then closes the connection), `drop_for_a_day` (and
forgets the idempotency keys), `drop_before`, `hang` (acts, and never answers), `late` (answers after a second), or a
status with a body and headers, without acting. `python -m stripe_server.server` prints its URL and serves until its
standard input is closed; `process` starts it so, and calls its methods.
"""

from __future__ import annotations

import asyncio
import json
import operator
import re
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from stripe_server.books import Books, Object, Refused
from stripe_server.webhooks import Webhooks

KEY = "sk_test_valid"
RESTRICTED = "rk_test_without_refunds"


def unflattened(pairs: list[tuple[str, str]]) -> Object:
    """The parameters of a form: `metadata[a]=1` is {"metadata": {"a": "1"}}."""
    result: Object = {}
    for name, value in pairs:
        first, *rest = re.findall(r"[^\[\]]+", name)
        target = result
        for part in rest:
            target, first = target.setdefault(first, {}), part
        target[first] = value
    return result


class StripeServer:
    """The server and its switches."""

    def __init__(self) -> None:
        self.books = Books()
        self.webhooks = Webhooks(self.books)
        self.faults: dict[str, list[Any]] = defaultdict(list)
        self.requests: list[tuple[str, Object, dict[str, str]]] = []
        self.search_lags = False
        self.keys = {KEY, RESTRICTED}
        self.hanging: list[str] = []
        """Operations that were carried out and never answered."""
        self.url = ""
        self._answers: dict[str, tuple[str, Object, tuple[int, Object] | None]] = {}

    def forget_keys(self) -> None:
        """What Stripe does after a day."""
        self._answers.clear()

    def operations(self, name: str) -> list[Object]:
        """The parameters of the requests of an operation."""
        return [params for operation, params, _ in self.requests if operation == name]

    def fail_next(self, operation: str, *faults: Any) -> None:
        """Give the next requests of an operation these faults, in order."""
        self.faults[operation] += faults

    def accept_keys(self, *keys: str) -> None:
        """Revoke every API key but these."""
        self.keys = set(keys)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[StripeServer]:
        app = web.Application()
        for method, path, name in (
            ("POST", "/v1/payment_intents", "create"),
            ("GET", "/v1/payment_intents", "list_intents"),
            ("GET", "/v1/payment_intents/search", "search"),
            ("GET", "/v1/payment_intents/{id}", "retrieve"),
            ("POST", "/v1/payment_intents/{id}", "update"),
            ("POST", "/v1/payment_intents/{id}/confirm", "confirm"),
            ("POST", "/v1/payment_intents/{id}/capture", "capture"),
            ("POST", "/v1/payment_intents/{id}/cancel", "cancel"),
            ("POST", "/v1/refunds", "refund"),
            ("GET", "/v1/refunds", "list_refunds"),
            ("GET", "/v1/disputes", "list_disputes"),
            ("GET", "/v1/balance_transactions", "list_transactions"),
        ):
            app.router.add_route(method, path, self._handler(name))
        app.router.add_post("/_call", self._call)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _call(self, request: web.Request) -> web.Response:
        """Call a method of the server, its books or its webhooks, or read an attribute."""
        asked = await request.json()
        found = operator.attrgetter(asked["name"])(self)
        return web.json_response(found(*asked["args"], **asked["options"]) if callable(found) else found)

    def _handler(self, name: str) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            text = await request.text() if request.method == "POST" else request.query_string
            params = unflattened(parse_qsl(text, keep_blank_values=True))
            self.requests.append((name, params, dict(request.headers)))
            fault = self.faults[name].pop(0) if self.faults[name] else None
            key = request.headers.get("Idempotency-Key", "")
            replayed = {"Idempotent-Replayed": "true"} if key in self._answers else {}
            if isinstance(fault, dict):
                if fault["status"] == 500 and key:
                    # Stripe saves an error that it meets while it carries out a request, too.
                    self._answers[key] = (request.path, params, (500, json.loads(fault["body"])))
                headers = {"request-id": "req_fault", **fault.get("headers", {})}
                return web.Response(status=fault["status"], text=fault.get("body", ""), headers=headers)
            if fault != "drop_before":
                status, body = self._answer(name, request, params)
            if fault == "hang":
                self.hanging.append(name)
                await asyncio.sleep(3600)
            if fault == "late":
                await asyncio.sleep(1)
            if fault == "drop_for_a_day":
                self.forget_keys()
            if fault in {"drop", "drop_before", "drop_for_a_day"}:
                assert request.transport is not None
                request.transport.abort()
                return web.Response()
            return web.json_response(
                body, status=status, headers=replayed | {"request-id": f"req_{len(self.requests)}"}
            )

        return handle

    def _answer(self, name: str, request: web.Request, params: Object) -> tuple[int, Object]:
        used = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if used not in self.keys:
            return 401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key provided"}}
        if used == RESTRICTED and name == "refund":
            return 403, {"error": {"type": "invalid_request_error", "message": "The key lacks a permission."}}
        key = request.headers.get("Idempotency-Key")
        if key is None or request.method != "POST":
            return self._act(name, request, params)
        path, content, answer = self._answers.get(key, (request.path, params, None))
        if (path, content) != (request.path, params):
            message = "Keys for idempotent requests can only be used with the same parameters."
            return 400, {"error": {"type": "idempotency_error", "message": message}}
        if answer is None:
            status, body = self._act(name, request, params)
            # The answer to a repeated request is the one of the first.
            answer = status, json.loads(json.dumps(body))
            if status in {200, 402}:
                self._answers[key] = (request.path, params, answer)
        return answer

    def _act(self, name: str, request: web.Request, params: Object) -> tuple[int, Object]:
        books, object_id = self.books, request.match_info.get("id", "")
        try:
            match name:
                case "create":
                    found = books.create(params)
                case "retrieve":
                    found = books.intent(object_id)
                case "update" | "confirm" | "capture" | "cancel":
                    found = getattr(books, name)(object_id, params)
                case "refund":
                    return 200, books.refund(params)
                case _:
                    return 200, self._page(name, params)
        except Refused as refused:
            return refused.status, {"error": refused.error}
        return 200, books.seen(found) if "expand" in params else found

    def _page(self, name: str, params: Object) -> Object:
        books = self.books
        of_intent = params.get("payment_intent")
        match name:
            case "list_intents":
                found = [books.seen(each) for each in books.intents.values()]
            case "search":
                wanted = dict(re.findall(r"metadata\['(\w+)'\]:'([^']*)'", params["query"]))
                found = [
                    books.seen(each) for each in books.intents.values() if wanted.items() <= each["metadata"].items()
                ]
                found = [] if self.search_lags else found
            case "list_refunds":
                found = books.refunds_of(of_intent)
            case "list_disputes":
                found = [each for each in books.disputes.values() if each["payment_intent"] == of_intent]
            case _:
                found = list(books.transactions)
        created = params.get("created", {})
        if created:
            found = [each for each in found if int(created["gte"]) <= each["created"] < int(created["lt"])]
        found.reverse()
        after = params.get("starting_after")
        begin = next((place + 1 for place, each in enumerate(found) if each["id"] == after), 0)
        end = begin + min(int(params.get("limit", 10)), 100)
        more = {"next_page": "next"} if name == "search" and end < len(found) else {}
        return {"object": "list", "url": "/", "data": found[begin:end], "has_more": end < len(found), **more}


async def main() -> None:
    """Serve until the parent, which holds the other end of the input, closes it or is killed."""
    async with StripeServer().running() as server, server.webhooks.sending():
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
