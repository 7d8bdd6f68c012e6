"""What the clients of a chaos run were answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from chaos.order_plans import Action, OrderPlan, Place, RefundPlan


class ChangeResult(StrEnum):
    """The response to a change."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    """Accepted for processing; it may be too late when it is processed."""
    REJECTED = "rejected"
    NOT_FOUND = "not found"
    """The order does not exist, according to the response."""


@dataclass(frozen=True)
class RefundLog:
    """The response to a request of a refund."""

    plan: RefundPlan
    place: Place
    asked_at: datetime
    outcome: ChangeResult
    again: bool = False
    """Whether the request was repeated."""
    amount: Decimal | None = None
    """What it pays, according to the response; None unless it was accepted."""


@dataclass
class ClientLog:
    """The responses to one client."""

    plan: OrderPlan
    order_id: str | None = None
    """Set once the order is accepted."""
    changes: list[tuple[Action, ChangeResult, bool]] = field(default_factory=list)
    """In order of sending; the flag says that the request was repeated, so an earlier attempt may have succeeded."""
    refunds: list[RefundLog] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Responses that no client should get."""
