"""Stripe's webhooks in the tests: each event is sent, signed, until it is accepted."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import stripe

from stripe_server.books import Books, Object

_RETRY_SECONDS = 0.3


class Webhooks:
    """Sends the events of an account to one endpoint, in order and once, unless `confuse` was called.

    Args:
        books: whose events are taken from it.
    """

    def __init__(self, books: Books) -> None:
        self.deliveries: list[Object] = []
        """Type, id and object of each event that was sent; status of the answer, 0 without one, and its result."""
        self._books = books
        self._unsent = 0
        self._url = self._secret = ""
        self._confused: random.Random | None = None
        self._latest = 0.0

    def left(self) -> int:
        """Return how many events are not accepted yet."""
        return self._unsent + len(self._books.events)

    def last_status(self) -> int:
        """Return the status of the last answer."""
        return self.deliveries[-1]["status"]

    def send_to(self, url: str, secret: str) -> None:
        """Set the endpoint; until then events wait."""
        self._url, self._secret = url, secret

    def confuse(self, seed: int, latest: float) -> None:
        """Send each event from now on once or twice, each time after up to `latest` seconds."""
        self._confused, self._latest = random.Random(seed), latest

    def order(self) -> None:
        """Send events in order and once again."""
        self._confused = None

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as client:
            task = asyncio.create_task(self._run(client))
            try:
                yield
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _run(self, client: aiohttp.ClientSession) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                while self._url and self._books.events:
                    event = self._books.events.pop(0)
                    if self._confused is None:
                        self._unsent += 1
                        await self._send(client, event, 0)
                    else:
                        for _ in range(self._confused.choice((1, 2))):
                            self._unsent += 1
                            group.create_task(self._send(client, event, self._confused.uniform(0, self._latest)))
                await asyncio.sleep(0.01)

    async def _send(self, client: aiohttp.ClientSession, event: Object, delay: float) -> None:
        await asyncio.sleep(delay)
        body = json.dumps(event)
        sent = {"type": event["type"], "id": event["id"], "object": event["data"]["object"]["id"]}
        status = 0
        while status != 200:
            header = stripe.WebhookSignature.generate_signature_header(body, self._secret, int(time.time()))
            try:
                async with client.post(self._url, data=body, headers={"Stripe-Signature": header}) as answer:
                    status, result = answer.status, (await answer.json(content_type=None)).get("result")
            except (aiohttp.ClientError, OSError):
                status, result = 0, None
            self.deliveries.append({**sent, "status": status, "result": result})
            if status != 200:
                await asyncio.sleep(_RETRY_SECONDS)
        self._unsent -= 1
