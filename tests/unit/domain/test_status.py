"""An order is settled when it has ended and no refund is pending."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from orderfleet.domain.order import Address
from orderfleet.domain.status import OrderStatus, PaymentStatus, PaymentView, Step

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def status(step: Step, paid: PaymentStatus | None, *, ended: bool = True) -> OrderStatus:
    return OrderStatus(
        order_id="o-1",
        workflow_id="order-o-1",
        run_id="run",
        step=step,
        address=Address(),
        payment=PaymentView(id="pay-o-1", status=paid, amount=Decimal("1.00"), currency="USD"),
        created_at=NOW,
        updated_at=NOW,
        completed_at=NOW if ended else None,
    )


@pytest.mark.parametrize("step", [Step.CANCELED, Step.FAILED])
def test_charged_payment_of_ended_order_is_pending(step: Step) -> None:
    assert not status(step, PaymentStatus.CHARGED).settled
    assert not status(step, PaymentStatus.REFUNDING).settled


@pytest.mark.parametrize("paid", [None, PaymentStatus.FAILED, PaymentStatus.VOIDED, PaymentStatus.REFUNDED])
def test_canceled_order_without_pending_refund_is_settled(paid: PaymentStatus | None) -> None:
    assert status(Step.CANCELED, paid).settled


def test_shipped_order_with_charge_is_settled() -> None:
    assert status(Step.SHIPPED, PaymentStatus.CHARGED).settled
    assert not status(Step.SHIPPED, PaymentStatus.CHARGED, ended=False).settled
