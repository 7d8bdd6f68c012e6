"""Models from rows of the database."""

from __future__ import annotations

import json

import asyncpg
from pydantic import TypeAdapter

from orderfleet.domain.events import RecordedEvent, RecordedOrder
from orderfleet.domain.order import Address
from orderfleet.domain.status import OrderStatus, PaymentView, ShipmentView, SpecResult

_SHIPMENTS = TypeAdapter(tuple[ShipmentView, ...])


def recorded_order(row: asyncpg.Record) -> RecordedOrder:
    """Return the order of a row of the view `recorded_orders`."""
    return RecordedOrder(
        order_id=row["order_id"],
        owner=row["owner"],
        owner_uid=row["owner_uid"],
        content_hash=row["content_hash"],
        version=row["version"],
        status=OrderStatus(
            order_id=row["order_id"],
            workflow_id=row["workflow_id"],
            run_id=row["run_id"],
            step=row["step"],
            approved=row["approved"],
            canceled=row["canceled"],
            cancel_reason=row["cancel_reason"],
            address=Address.model_validate_json(row["address"]),
            payment=PaymentView(
                id=row["payment_id"], status=row["payment_status"], amount=row["amount"], currency=row["currency"]
            ),
            shipments=_SHIPMENTS.validate_json(row["shipments"]),
            dispatch_failed_reason=row["dispatch_failed_reason"],
            last_error=row["last_error"],
            retries=json.loads(row["retries"]),
            declared=SpecResult.model_validate_json(row["declared"]),
            created_at=row["created_at"],
            updated_at=row["updated_at"],
            completed_at=row["completed_at"],
        ),
    )


def recorded_event(row: asyncpg.Record) -> RecordedEvent:
    """Return the event of a row of `events`."""
    return RecordedEvent(
        id=row["id"], kind=row["kind"], step=row["step"], at=row["at"], detail=json.loads(row["detail"])
    )
