"""Condition types and reasons of an Order, and the one builder of its conditions. Pure; `status` calls it.

Ready, Reconciling and Stalled follow kstatus (github.com/kubernetes-sigs/cli-utils, pkg/kstatus), so
that `kubectl wait`, Argo CD and Flux read an Order without being taught. The others tell how far it came.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from orderfleet.operator.resource import Condition, OrderState


class ConditionType(StrEnum):
    """What can be so or not so of an Order."""

    READY = "Ready"
    """It came to the end that is declared: shipped (or delivered), or canceled as declared."""
    RECONCILING = "Reconciling"
    """It is on its way there, or waiting for somebody."""
    STALLED = "Stalled"
    """It will not get there: failed, conflicting, or canceled although nobody declared so."""
    ACCEPTED = "Accepted"
    """Its order is started and is its own."""
    APPROVED = "Approved"
    """It is approved, by a person or by its review terms."""
    CHARGED = "Charged"
    """Its payment is charged and not given back."""
    SHIPPED = "Shipped"
    """Its package is on the way."""
    SPEC_APPLIED = "SpecApplied"
    """False when an edit was refused; not set before that."""


class Reason(StrEnum):
    """Why a condition is as it is. Also the reasons of the Kubernetes Events about it."""

    STARTED = "Started"
    """Its workflow was started."""
    ADOPTED = "Adopted"
    """It is an Order applied again: its order was started by the one before it."""
    CONFLICT = "Conflict"
    """The order id is another order's."""
    UNREADABLE = "Unreadable"
    """The operator is too old for this Order, or the CRD is."""
    TEMPORAL_UNAVAILABLE = "TemporalUnavailable"
    """Temporal does not answer; the operator keeps trying."""
    STORE_UNAVAILABLE = "StoreUnavailable"
    """Postgres does not answer; the operator keeps trying."""
    WORKFLOW_MISSING = "WorkflowMissing"
    """The record tells of an order that goes on, and Temporal knows no workflow for it."""

    RECEIVING = "Receiving"
    """Being recorded."""
    VALIDATING = "Validating"
    """Being checked."""
    AWAITING_REVIEW = "AwaitingReview"
    """A person has to approve it."""
    CHARGING = "Charging"
    """Being charged."""
    SHIPPING = "Shipping"
    """Being packed and handed to the carrier."""
    AWAITING_DELIVERY = "AwaitingDelivery"
    """The carrier has to confirm the delivery."""
    SHIPPED = "Shipped"
    """The package is on the way."""
    DELIVERED = "Delivered"
    """The carrier confirmed the delivery."""
    CANCELED = "Canceled"
    """Canceled; the message says why."""
    FAILED = "Failed"
    """Failed; the message says why."""

    APPROVED = "Approved"
    """Approved."""
    NOT_APPROVED = "NotApproved"
    """Ended without an approval."""
    CHARGED = "Charged"
    """The payment is charged."""
    NOT_CHARGED = "NotCharged"
    """Nothing was charged so far."""
    CHARGE_REFUSED = "ChargeRefused"
    """The payment provider refused."""
    VOIDED = "Voided"
    """The payment can't be charged any more."""
    REFUNDING = "Refunding"
    """The charge is owed back."""
    REFUNDED = "Refunded"
    """The charge is given back."""
    NOT_SHIPPED = "NotShipped"
    """The package is not dispatched."""
    DISPATCH_FAILED = "DispatchFailed"
    """The carrier did not take it; the message says why."""

    APPLIED = "Applied"
    """The last edit was taken."""
    EDIT_REFUSED = "EditRefused"
    """Something in the last edit was refused; the message says what and why."""


@dataclass(frozen=True)
class Verdict:
    """A condition without its times."""

    type: ConditionType
    holds: bool
    reason: Reason
    message: str = ""


def conditions(
    verdicts: Iterable[Verdict], before: OrderState, *, generation: int | None, now: datetime
) -> tuple[Condition, ...]:
    """Build the conditions; `lastTransitionTime` moves only where the status changes."""
    return tuple(_condition(verdict, before, generation, now) for verdict in verdicts)


def _condition(verdict: Verdict, before: OrderState, generation: int | None, now: datetime) -> Condition:
    status = "True" if verdict.holds else "False"
    last = before.condition(verdict.type)
    unchanged = last is not None and last.status == status
    return Condition(
        type=verdict.type,
        status=status,
        reason=verdict.reason,
        message=verdict.message,
        last_transition_time=last.last_transition_time if last and unchanged else f"{now:%Y-%m-%dT%H:%M:%SZ}",
        observed_generation=generation,
    )
