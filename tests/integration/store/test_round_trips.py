"""Round trips: a proxy before Postgres counts the messages that require an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from orderfleet.domain.events import EventKind
from orderfleet.domain.status import PaymentStatus, ShipmentStatus, Step
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from support.sample_rows import CHARGE, event, payment, progress, receive, sample_order, shipment

# Frontend messages that the server answers with ReadyForQuery, and Flush (Postgres manual, "Message Formats").
_WAITS_FOR_ANSWER = frozenset(b"SQH")


class CountingProxy:
    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._connections: set[asyncio.Task[None]] = set()
        self.round_trips = 0
        self.prepared: set[bytes] = set()
        self.port = 0

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def ended(self) -> None:
        """Wait until all clients have disconnected: a loop that ends earlier leaves their sockets open."""
        await asyncio.gather(*self._connections)

    def _accept(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        self._connections.add(asyncio.create_task(self._connected(client, answers)))

    async def _connected(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        source, sink = await asyncio.open_connection(*self._target)
        back = asyncio.create_task(self._copy(source, answers))
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            header = await client.readexactly(4)  # the start-up message has no type
            sink.write(header + await client.readexactly(int.from_bytes(header) - 4))
            while True:
                head = await client.readexactly(5)
                self.round_trips += head[0] in _WAITS_FOR_ANSWER
                body = await client.readexactly(int.from_bytes(head[1:]) - 4)
                if head[:1] == b"P":
                    self.prepared.add(body.partition(b"\0")[0])
                sink.write(head + body)
        sink.close()
        await back
        await sink.wait_closed()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
        sink.close()


@pytest.fixture
async def proxy(postgres_url: str) -> AsyncIterator[CountingProxy]:
    target = urlsplit(postgres_url)
    counting = CountingProxy(str(target.hostname), int(target.port or 0))
    server = await counting.serve()
    yield counting
    server.close()
    await counting.ended()


@pytest.fixture
async def counted(postgres_url: str, proxy: CountingProxy) -> AsyncIterator[Database]:
    through = postgres_url.replace(f":{urlsplit(postgres_url).port}/", f":{proxy.port}/") + "?sslmode=disable"
    async with Database(through, pool_size=1, timeout=timedelta(seconds=10)) as database:
        yield database


async def test_every_call_is_one_round_trip(counted: Database, proxy: CountingProxy) -> None:
    writes, reads = OrderWrites(counted), OrderReads(counted)
    numbers = iter(range(2, 100))
    failed = event("f", EventKind.ATTEMPT_FAILED)

    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "receive": lambda: receive(writes, sample_order(f"ord-{next(numbers)}")),
        "record": lambda: writes.record("ord-1", progress(next(numbers), Step.CHARGE, "a", "b")),
        "begin_payment": lambda: writes.begin_payment(payment(), progress(next(numbers), Step.CHARGE)),
        "finish_payment": lambda: writes.finish_payment(
            payment(), PaymentStatus.CHARGED, CHARGE, progress=progress(next(numbers), Step.CHARGE)
        ),
        "record_shipment": lambda: writes.record_shipment(shipment(ShipmentStatus.PREPARED), [failed]),
        "attempt_failed": lambda: writes.attempt_failed("ord-1", "charge", next(numbers), "x", failed),
        "order": lambda: reads.order("ord-1"),
        "orders": lambda: reads.orders(["ord-1", "ord-2"]),
        "events": lambda: reads.events("ord-1"),
    }
    await receive(writes)
    counts = {}
    for name, call in calls.items():
        await call()  # prepares the statement, once per connection
        before = proxy.round_trips
        await call()
        await call()
        counts[name] = (proxy.round_trips - before) / 2
    assert counts == dict.fromkeys(calls, 1)


async def test_statements_are_unnamed_without_prepared_statements(postgres_url: str, proxy: CountingProxy) -> None:
    """A pooler can give each call another connection; a flush between the call's two parts keeps it until the end."""
    through = postgres_url.replace(f":{urlsplit(postgres_url).port}/", f":{proxy.port}/") + "?sslmode=disable"
    async with Database(through, pool_size=1, timeout=timedelta(seconds=10), prepared=False) as database:
        writes = OrderWrites(database)
        await receive(writes)
        before = proxy.round_trips
        await writes.record("ord-1", progress(2, Step.CHARGE))
    assert (proxy.prepared, proxy.round_trips - before) == ({b""}, 2)
