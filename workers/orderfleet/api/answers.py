"""The bodies of answers."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, Field

from orderfleet.client import Answer
from orderfleet.contracts.record import RecordedEvent


class Created(BaseModel):
    """The order's workflow, started now or by the same request before."""

    order_id: str = Field(examples=["ord-1"])
    workflow_id: str = Field(examples=["order-ord-1"])
    run_id: str
    payment_id: str = Field(examples=["pay-ord-1"])
    message: str = Field(examples=["order ord-1 is started; it waits for approval"])


class Changed(BaseModel):
    """What became of a change."""

    order_id: str
    workflow_id: str
    result: Answer = Field(description="`queued`: no worker answered; the change is handled when one runs.")
    message: str


class Events(BaseModel):
    """A page of the audit trail, oldest first."""

    order_id: str
    events: list[RecordedEvent]
    next_after: int | None = Field(description="`after` of the next page; null at the end.")


STATUS_EXAMPLE: Final[dict[str, Any]] = {
    "order_id": "ord-1",
    "workflow_id": "order-ord-1",
    "run_id": "01a1fd98-5496-778d-8d4f-97fa9e5bd7e1",
    "step": "shipped",
    "approved": True,
    "canceled": False,
    "cancel_reason": None,
    "address": {
        "street": "12 St James's Square",
        "city": "London",
        "state": "England",
        "zip": "SW1Y 4JH",
        "country": "GB",
    },
    "payment": {"id": "pay-ord-1", "status": "CHARGED", "amount": "9.00", "currency": "USD"},
    "shipments": [
        {
            "id": "shipping-ord-1-1",
            "status": "dispatched",
            "carrier": "simulated",
            "tracking_number": "SIMF7086F670C4C",
            "attempts": 1,
            "dispatch_failed_reason": None,
        }
    ],
    "dispatch_failed_reason": None,
    "last_error": None,
    "retries": {},
    "declared": {"generation": 0, "owner_uid": "", "outcome": "applied", "reason": ""},
    "created_at": "2026-11-21T10:13:01.212050Z",
    "updated_at": "2026-11-21T10:13:15.453362Z",
    "completed_at": "2026-11-21T10:13:15.451619Z",
    "source": "workflow",
}

EVENTS_EXAMPLE: Final[dict[str, Any]] = {
    "order_id": "ord-1",
    "events": [
        {
            "id": 7,
            "kind": "charged",
            "step": "shipping",
            "at": "2026-11-21T10:13:15.327000Z",
            "detail": {"amount": "9.00", "payment": "pay-ord-1"},
        }
    ],
    "next_after": 7,
}


CREATED_EXAMPLE: Final[dict[str, Any]] = {
    "order_id": "ord-1",
    "workflow_id": "order-ord-1",
    "run_id": "01a1fd98-5496-778d-8d4f-97fa9e5bd7e1",
    "payment_id": "pay-ord-1",
    "message": "order ord-1 is started; it waits for approval",
}

CHANGED_EXAMPLE: Final[dict[str, Any]] = {
    "order_id": "ord-1",
    "workflow_id": "order-ord-1",
    "result": "taken",
    "message": "order ord-1 is approved",
}

QUEUED_EXAMPLE: Final[dict[str, Any]] = {
    **CHANGED_EXAMPLE,
    "result": "queued",
    "message": "no worker answered; order ord-1 will be approved when one runs, unless it is too late then",
}


def example(
    content: dict[str, Any], *, status: int = 200, description: str = "Done.", **more: Any
) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI description of a successful answer that shows `content`; `more` is added to it."""
    return {status: {"description": description, "content": {"application/json": {"example": content}}, **more}}
