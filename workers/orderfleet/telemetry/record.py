"""Counts what the record takes in: orders, payments, refunds. Implements `RecordObserver`; the store calls it."""

from __future__ import annotations

from datetime import timedelta

from orderfleet.contracts.status import PaymentStatus, Step
from orderfleet.telemetry.catalog import ORDER_DURATION, ORDERS_RECEIVED, PAYMENTS, REFUNDS
from orderfleet.telemetry.current import exemplar


class RecordMetrics:
    """Each order, payment and refund once, as the record has it."""

    def order_received(self) -> None:
        """Count an order."""
        ORDERS_RECEIVED.inc(exemplar=exemplar())

    def order_ended(self, outcome: Step, lasted: timedelta) -> None:
        """Count an order's end."""
        ORDER_DURATION.labels(outcome=outcome).observe(lasted.total_seconds(), exemplar=exemplar())

    def payment_moved(self, status: PaymentStatus) -> None:
        """Count a payment's result, or a refund's."""
        match status:
            case PaymentStatus.CHARGED | PaymentStatus.FAILED | PaymentStatus.VOIDED:
                PAYMENTS.labels(result=status.lower()).inc(exemplar=exemplar())
            case PaymentStatus.REFUNDING:
                REFUNDS.labels(result="owed").inc(exemplar=exemplar())
            case PaymentStatus.REFUNDED:
                REFUNDS.labels(result="done").inc(exemplar=exemplar())
            case PaymentStatus.INIT:
                pass
