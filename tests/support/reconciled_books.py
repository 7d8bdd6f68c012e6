"""A ledger and a simulated payment provider's books, which a test makes differ, and a worker that reconciles them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Self

from orderfleet.domain import names
from orderfleet.domain.differences import RecordedDifference
from orderfleet.domain.ledger import PaymentDetail, PaymentEntry, RefundRequest
from orderfleet.domain.order import CaptureMode
from orderfleet.domain.payment import PaymentIntent, Refund
from orderfleet.domain.reconciliation_run import Reconciliation, ReconciliationProgress
from orderfleet.domain.status import PaymentStatus
from orderfleet.providers.payments.simulated import SimulatedPayments
from orderfleet.store.payment_reads import PaymentReads
from orderfleet.store.reconciliation import PostgresDifferences
from orderfleet.store.writes import OrderWrites
from support.sample_rows import payment, receive, sample_order
from support.scripted_providers import ScriptedPayments
from support.workflow_env import WorkflowTestEnv

WHOLE = Decimal("31.30")
PART = Decimal("1.30")


@dataclass
class ReconciledBooks:
    """Both books, and a worker that reconciles them."""

    env: WorkflowTestEnv
    provider: SimulatedPayments | ScriptedPayments
    record: OrderWrites
    ledger: PaymentReads
    differences: PostgresDifferences

    @classmethod
    def of(cls, env: WorkflowTestEnv, provider: SimulatedPayments | ScriptedPayments) -> Self:
        """The books of an environment and its payment provider."""
        database = env.database
        # Slices of few entries, so that a window has several.
        differences = PostgresDifferences(database, slice_entries=5)
        return cls(env, provider, OrderWrites(database), PaymentReads(database), differences)

    async def begin(
        self, name: str, *, capture: CaptureMode = CaptureMode.IMMEDIATE, method: str = ""
    ) -> PaymentIntent:
        """A payment that the ledger has, and whose charge or authorization has not begun."""
        await receive(self.record, sample_order(name))
        intent = payment(name).model_copy(update={"method": method})
        await self.record.begin_payment(intent, capture=capture)
        return intent

    async def charged(self, name: str) -> PaymentIntent:
        """A payment that is charged in both books."""
        intent = await self.begin(name)
        await self.record.finish_payment(intent, PaymentStatus.CHARGED, await self.provider.charge(intent))
        return intent

    async def authorized(self, name: str, method: str = "") -> PaymentIntent:
        """A payment that is authorized in both books."""
        intent = await self.begin(name, capture=CaptureMode.ON_SHIPMENT, method=method)
        answer = await self.provider.authorize(intent)
        await self.record.finish_payment(intent, PaymentStatus.AUTHORIZED, answer, capture=CaptureMode.ON_SHIPMENT)
        return intent

    async def refunded(self, intent: PaymentIntent, *, provider: bool = True) -> str:
        """Refund a part, in the ledger and at the provider; the refund's key."""
        request = RefundRequest(refund_id="part", amount=130)
        (part,) = (await self.record.begin_refund(intent.payment_id, intent.order_id, request)).parts
        answer = await self.provider.refund(part) if provider else Refund(reference="re_lost")
        await self.record.finish_refund(part, answer)
        return part.key

    async def fact(self, intent: PaymentIntent, kind: str, key: str) -> None:
        """Record in the ledger what a webhook reported."""
        entry = PaymentEntry(
            kind=kind, key=key, amount=130, currency="USD", source="webhook", reference=key, at=datetime.now(UTC)
        )
        await self.record.record_fact(intent.payment_id, entry)

    def move(self, kind: str, intent: PaymentIntent, amount: Decimal = PART) -> str:
        return self.provider.ledger.move(kind, intent.payment_id, amount)

    async def payment(self, name: str) -> PaymentDetail:
        found = await self.ledger.payment(f"pay-{name}")
        assert found is not None
        return found

    async def reconcile(self, **changes: Any) -> ReconciliationProgress:
        given = {"policy": self.env.order("any").policy, "grace": timedelta(0), **changes}
        return await self.env.temporal.execute_workflow(
            names.RECONCILIATION_WORKFLOW,
            Reconciliation(**given),
            id=f"reconciliation-{uuid.uuid4()}",
            task_queue=self.env.settings.orders_task_queue,
            result_type=ReconciliationProgress,
        )

    async def open(self) -> dict[tuple[str, str], RecordedDifference]:
        return {(each.payment_id, each.kind): each for each in await self.differences.differences()}
