"""Kubernetes Events about changes of an Order's conditions, as `kubectl describe` shows them.

Events are best effort: they are queued in bounded memory, posted in the background, and dropped when the API
server is slower. They must never delay or fail a reconciliation.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from orderfleet.domain.errors import OrderfleetError
from orderfleet.domain.names import CRD_GROUP, CRD_VERSION
from orderfleet.operator.conditions import ConditionType, Reason
from orderfleet.operator.kubernetes import Kubernetes

CONTROLLER: Final = f"{CRD_GROUP}/operator"

EVENT_REASONS: Final = {
    ConditionType.ACCEPTED: {Reason.STARTED, Reason.ADOPTED, Reason.CONFLICT, Reason.INVALID_SPEC},
    ConditionType.APPROVED: {Reason.APPROVED},
    ConditionType.CHARGED: {
        Reason.CHARGED,
        Reason.AUTHORIZED,
        Reason.CHARGE_DECLINED,
        Reason.VOIDING,
        Reason.VOIDED,
        Reason.REFUNDING,
        Reason.REFUNDED,
    },
    ConditionType.SHIPPED: {Reason.SHIPPED, Reason.DISPATCH_FAILED},
    ConditionType.HELD: {Reason.PAYMENT_REQUIRED, Reason.CAPTURE_UNKNOWN, Reason.HOLD_ENDED},
    ConditionType.SPEC_APPLIED: {Reason.APPLIED, Reason.SPEC_CHANGE_REJECTED},
    ConditionType.RECONCILING: {
        Reason.AWAITING_REVIEW,
        Reason.AWAITING_CUSTOMER,
        Reason.AWAITING_DELIVERY,
        Reason.TEMPORAL_UNAVAILABLE,
        Reason.STORE_UNAVAILABLE,
        Reason.WORKFLOW_MISSING,
    },
    ConditionType.READY: {Reason.DELIVERED, Reason.CANCELED},
    ConditionType.STALLED: {Reason.FAILED, Reason.CANCELED},
}
"""Reasons that make an Event, by condition type; of Reconciling, Ready and Stalled only while true."""

WARNINGS: Final = {
    (ConditionType.ACCEPTED, Reason.CONFLICT),
    (ConditionType.ACCEPTED, Reason.INVALID_SPEC),
    (ConditionType.CHARGED, Reason.CHARGE_DECLINED),
    (ConditionType.SHIPPED, Reason.DISPATCH_FAILED),
    (ConditionType.HELD, Reason.PAYMENT_REQUIRED),
    (ConditionType.HELD, Reason.CAPTURE_UNKNOWN),
    (ConditionType.SPEC_APPLIED, Reason.SPEC_CHANGE_REJECTED),
    (ConditionType.RECONCILING, Reason.TEMPORAL_UNAVAILABLE),
    (ConditionType.RECONCILING, Reason.STORE_UNAVAILABLE),
    (ConditionType.RECONCILING, Reason.WORKFLOW_MISSING),
    (ConditionType.STALLED, Reason.FAILED),
    (ConditionType.STALLED, Reason.CANCELED),
}
"""Those of them whose Event is a Warning."""

_WHEN_TRUE: Final = {ConditionType.RECONCILING, ConditionType.READY, ConditionType.STALLED}
_CAPACITY: Final = 1000
"""Maximal number of queued Events."""
_POSTERS: Final = 2
"""Number of concurrent posts."""
_MAX_MESSAGE_LENGTH: Final = 1024
_MAX_NAME_PREFIX: Final = 200


@dataclass(frozen=True)
class EventSpec:
    """Type, reason and message of an Event."""

    warning: bool
    reason: str
    message: str


def events_between(before: dict[str, Any], after: dict[str, Any]) -> Iterator[EventSpec]:
    """Events for the change from one status to another, in the order of an order's life.

    Args:
        before: the earlier status.
        after: the later status.
    """
    old = {condition["type"]: condition for condition in before.get("conditions", ())}
    now = {condition["type"]: condition for condition in after.get("conditions", ())}
    for kind, reasons in EVENT_REASONS.items():
        condition = now.get(kind)
        if condition is None or condition["reason"] not in reasons:
            continue
        if kind in _WHEN_TRUE and condition["status"] != "True":
            continue
        if _unchanged(old.get(kind), condition):
            continue
        reason = condition["reason"]
        yield EventSpec((kind, reason) in WARNINGS, reason, condition["message"][:_MAX_MESSAGE_LENGTH])


def _unchanged(before: dict[str, Any] | None, after: dict[str, Any]) -> bool:
    if before is None or (before["status"], before["reason"]) != (after["status"], after["reason"]):
        return False
    # A second rejection has the same status and reason, and another generation.
    again = after["type"] == ConditionType.SPEC_APPLIED and after["status"] == "False"
    return not again or before.get("observedGeneration") == after.get("observedGeneration")


class EventRecorder:
    """Posts Events in the background.

    Args:
        kubernetes: the API server.
        instance: name of this operator's pod.
    """

    def __init__(self, kubernetes: Kubernetes, instance: str) -> None:
        self._kubernetes = kubernetes
        self._instance = instance
        self._pending: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue(_CAPACITY)
        self._last_number = 0
        self.dropped = 0
        """Number of Events that were not posted."""

    def emit(self, body: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> None:
        """Queue the Events about a written status.

        Args:
            body: the Order.
            before: its status before the write.
            after: its status after the write.
        """
        for event in events_between(before, after):
            try:
                self._pending.put_nowait((body["metadata"]["namespace"], self._event(body, event)))
            except asyncio.QueueFull:
                self.dropped += 1

    async def run(self) -> None:
        """Post Events until `close`, and then those still queued."""
        async with asyncio.TaskGroup() as group:
            for number in range(_POSTERS):
                group.create_task(self._post(), name=f"event poster {number}")

    async def close(self) -> None:
        """Let `run` return once the queue is empty."""
        for _ in range(_POSTERS):
            await self._pending.put(None)

    async def _post(self) -> None:
        while (waiting := await self._pending.get()) is not None:
            try:
                await self._kubernetes.post_event(*waiting)
            except OrderfleetError as error:
                self.dropped += 1
                logging.getLogger(__name__).debug("an Event was not posted: %s", error)

    def _event(self, body: dict[str, Any], event: EventSpec) -> dict[str, Any]:
        # Core Events named by time, as by client-go: `kubectl describe` sorts these by name.
        self._last_number = max(time.time_ns(), self._last_number + 1)
        metadata, now = body["metadata"], f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name'][:_MAX_NAME_PREFIX]}.{self._last_number:x}",
                "namespace": metadata["namespace"],
            },
            "involvedObject": {
                "apiVersion": f"{CRD_GROUP}/{CRD_VERSION}",
                "kind": "Order",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "message": event.message,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": CONTROLLER},
            "reportingComponent": CONTROLLER,
            "reportingInstance": self._instance,
        }
