"""Both workers in one process with a real Postgres, and a provider and a carrier whose behavior a test scripts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from orderfleet.domain import names
from orderfleet.domain.errors import BookingVoided, PaymentVoided
from orderfleet.domain.events import RecordedEvent, RecordedOrder
from orderfleet.domain.order import Address, Item, OrderInput
from orderfleet.domain.payment import Charge, PaymentIntent, VoidOutcome
from orderfleet.domain.policy import OrderPolicy, OutagePolicy, StepPolicy
from orderfleet.domain.ports import OrderWorkflows
from orderfleet.domain.shipment import Booking, BookingState, Parcel
from orderfleet.domain.status import OrderStatus
from orderfleet.orders import worker as orders_worker
from orderfleet.services.workflow_client import OrderClient
from orderfleet.settings import Settings
from orderfleet.shipping import worker as shipping_worker
from orderfleet.store.orphans import PostgresOrphanStore
from orderfleet.store.pool import Database
from orderfleet.store.reads import OrderReads
from orderfleet.store.writes import OrderWrites
from orderfleet.temporal.order_workflows import TemporalOrderWorkflows
from orderfleet.temporal.worker import build

T = TypeVar("T")

ADDRESS = Address(street="1 Main St", city="Springfield", state="IL", zip="62701", country="US")
ELSEWHERE = Address(street="2 Side St", city="Shelbyville", state="IL", zip="62565", country="US")

Behavior = Callable[[], Awaitable[None]]


def fails(error: Exception) -> Behavior:
    async def behave() -> None:
        raise error

    return behave


async def hangs() -> None:
    await asyncio.Event().wait()


@dataclass
class Gate:
    """A behavior that waits until the test opens it."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> None:
        self.reached.set()
        await self.opened.wait()


class Script:
    """Behaviors of the next calls of a method, before and after their work, in this order."""

    def __init__(self) -> None:
        self.before: list[Behavior] = []
        self.after: list[Behavior] = []
        self.always: Behavior | None = None

    async def begin(self) -> None:
        if self.always is not None:
            await self.always()
        elif self.before:
            await self.before.pop(0)()

    async def end(self) -> None:
        if self.after:
            await self.after.pop(0)()


class Provider:
    """A payment provider with a ledger: the number of charges and refunds by payment id."""

    def __init__(self) -> None:
        self.charging, self.voiding, self.refunding = Script(), Script(), Script()
        self.charges: Counter[str] = Counter()
        self.refunds: Counter[str] = Counter()
        self.voided: set[str] = set()

    async def charge(self, payment: PaymentIntent) -> Charge:
        await self.charging.begin()
        if payment.payment_id in self.voided:
            raise PaymentVoided(payment.payment_id)
        if not self.charges[payment.payment_id]:
            self.charges[payment.payment_id] += 1
        await self.charging.end()
        return Charge(reference=f"ch-{payment.payment_id}")

    async def void(self, payment: PaymentIntent) -> VoidOutcome:
        await self.voiding.begin()
        self.voided.add(payment.payment_id)
        if not self.charges[payment.payment_id]:
            return VoidOutcome.NEVER_CHARGED
        await self._refund_once(payment)
        return VoidOutcome.REFUNDED

    async def refund(self, payment: PaymentIntent) -> None:
        await self.refunding.begin()
        assert self.charges[payment.payment_id], "refund of what was never charged"
        await self._refund_once(payment)
        await self.refunding.end()

    async def _refund_once(self, payment: PaymentIntent) -> None:
        if not self.refunds[payment.payment_id]:
            self.refunds[payment.payment_id] += 1

    def balance(self, payment_id: str) -> int:
        """Charges less refunds."""
        return self.charges[payment_id] - self.refunds[payment_id]


class TestCarrier:
    """A carrier with a ledger: the parcels by booking key."""

    __test__ = False

    def __init__(self) -> None:
        self.booking, self.voiding = Script(), Script()
        self.parcels: dict[str, list[Parcel]] = {}
        self.voided: dict[str, int] = {}
        self.held_back: set[str] = set()
        """Keys of booked parcels that are not dispatched, so that they can be voided."""

    async def book(self, key: str, parcel: Parcel) -> Booking:
        await self.booking.begin()
        if self.voided.get(key, 0) >= parcel.attempt:
            raise BookingVoided(key)
        self.parcels.setdefault(key, []) or self.parcels[key].append(parcel)
        await self.booking.end()
        return _booking(key)

    async def void_booking(self, key: str, attempt: int) -> tuple[BookingState, Booking | None]:
        await self.voiding.begin()
        booked = self.parcels.get(key)
        if booked and key not in self.held_back:
            return BookingState.DISPATCHED, _booking(key)
        self.voided[key] = max(self.voided.get(key, 0), attempt)
        if booked:
            booked.clear()
            await self.voiding.end()
            return BookingState.VOIDED, None
        return BookingState.NONE, None


def _booking(key: str) -> Booking:
    return Booking(carrier="test-carrier", tracking_number=f"track-{key}")


@dataclass
class Fleet:
    """Both workers, and what a test needs of them."""

    temporal: Client
    client: OrderClient
    settings: Settings
    reads: OrderReads
    provider: Provider
    carrier: TestCarrier
    database: Database

    def order(self, order_id: str, **changes: Any) -> OrderInput:
        """A small valid order with short waits between attempts."""
        given: dict[str, Any] = {
            "order_id": order_id,
            "items": (Item(sku="widget", qty=2, price="9.99"),),
            "address": ADDRESS,
            "policy": quick_policy(self.settings),
            **changes,
        }
        return OrderInput(**given)

    async def start(self, order: OrderInput) -> WorkflowHandle[Any, OrderStatus]:
        # Only a handle of the environment's own client lets time skip.
        return await self.temporal.start_workflow(
            names.ORDER_WORKFLOW,
            order,
            id=names.order_workflow_id(order.order_id),
            task_queue=self.settings.orders_task_queue,
            result_type=OrderStatus,
        )

    def handle(self, order_id: str) -> WorkflowHandle[Any, OrderStatus]:
        return self.temporal.get_workflow_handle(names.order_workflow_id(order_id), result_type=OrderStatus)

    async def recorded(self, order_id: str) -> RecordedOrder:
        order = await self.reads.order(order_id)
        assert order is not None, f"{order_id} is not recorded"
        return order

    async def until_recorded(self, order_id: str, reached: Callable[[OrderStatus], bool]) -> OrderStatus:
        """Read the database until the condition holds."""
        order = await eventually(
            lambda: self.reads.order(order_id), lambda order: order is not None and reached(order.status)
        )
        assert order is not None
        return order.status

    async def events(self, order_id: str) -> list[RecordedEvent]:
        return await self.reads.events(order_id)

    async def kinds(self, order_id: str) -> list[str]:
        return [event.kind for event in await self.events(order_id)]

    async def until(self, order_id: str, reached: Callable[[OrderStatus], bool]) -> OrderStatus:
        """Query the workflow until the condition holds."""
        return await eventually(lambda: self.client.status(order_id), reached)


async def eventually(ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool], seconds: float = 60) -> T:
    """Call until the result meets a condition.

    Args:
        ask: the call.
        holds: the condition.
        seconds: time-out, after which the last result fails the test.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        answer = await ask()
        if holds(answer):
            return answer
        assert loop.time() < end, f"still {answer!r}"
        await asyncio.sleep(0.02)


def quick_policy(settings: Settings, **changes: Any) -> OrderPolicy:
    """The default policy with short waits, so that a test on a real clock is quick."""
    step = StepPolicy(attempt_timeout="2s", initial_interval="10ms", maximum_interval="20ms")
    backoff = OutagePolicy(first="50ms", longest="200ms")
    given: dict[str, Any] = dict.fromkeys(
        ("receive", "validation", "record", "charge", "prepare_package", "dispatch_carrier", "refund"), step
    )
    given |= {"outage": backoff, "retry_forever_backoff": backoff, "shipping_task_queue": settings.shipping_task_queue}
    return OrderPolicy(**{**given, **changes})


@asynccontextmanager
async def fleet(
    temporal: Client,
    database_url: str,
    orders_queue: str,
    shipping_queue: str,
    *,
    record: Callable[[Database], OrderWrites] = OrderWrites,
    faults: str = "",
    provider: Any = None,
    carrier: Any = None,
    order_workflows: OrderWorkflows | None = None,
    runner: Callable[[], WorkflowRunner] = SandboxedWorkflowRunner,
) -> AsyncIterator[Fleet]:
    """Run both workers until the context closes, on test doubles unless adapters are given."""
    settings = Settings(
        orders_task_queue=orders_queue,
        shipping_task_queue=shipping_queue,
        drain_timeout=timedelta(seconds=1),
        faults=faults,
    )
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(database_url, pool_size=5, timeout=timedelta(seconds=2)))
        provider, carrier, store = provider or Provider(), carrier or TestCarrier(), record(database)
        workers: list[Worker] = [
            build(
                temporal,
                settings,
                orders_worker.worker_spec(
                    settings,
                    store,
                    provider,
                    PostgresOrphanStore(database),
                    order_workflows or TemporalOrderWorkflows(temporal),
                ),
                runner(),
            ),
            build(temporal, settings, shipping_worker.worker_spec(settings, store, carrier), runner()),
        ]
        for worker in workers:
            # A busy machine can block for the two seconds after which the SDK assumes a deadlock, and a worker that
            # assumes one may never stop.
            if worker._workflow_worker is not None:
                worker._workflow_worker._deadlock_timeout_seconds = 60
            await stack.enter_async_context(worker)
        yield Fleet(
            temporal=temporal,
            client=OrderClient(temporal, task_queue=orders_queue),
            settings=settings,
            reads=OrderReads(database),
            provider=provider,
            carrier=carrier,
            database=database,
        )
