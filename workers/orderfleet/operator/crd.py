"""The Order resource as typed models, and the input and signals of its workflow. Pure.

No other module reads an Order's spec. The API server enforces the schema in `charts/orderfleet/files/crds`;
a contract test compares it with these models. Unknown fields are ignored, because a newer CRD may have more.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orderfleet.domain.durations import PositiveDuration
from orderfleet.domain.money import DEFAULT_CURRENCY, Adjustment
from orderfleet.domain.names import ENDED_LABEL, FINALIZER
from orderfleet.domain.order import (
    Address,
    CaptureMode,
    Currency,
    Customer,
    Item,
    OrderInput,
    PaymentMethod,
    Reference,
    ReviewMode,
    ReviewTimeoutAction,
    SpecUpdate,
    content_hash,
)
from orderfleet.domain.status import Hold, OrderStatus, PaymentView, ShipmentView, Step
from orderfleet.services.workflow_client import Claim
from orderfleet.settings import Settings


class Camel(BaseModel):
    """A frozen model with camel-case JSON names, as in Kubernetes."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, alias_generator=AliasGenerator(alias=to_camel)
    )


class DeletionPolicy(StrEnum):
    """What the deletion of an Order does to an order that has not ended."""

    CANCEL = "Cancel"
    ORPHAN = "Orphan"


class ReviewSpec(Camel):
    """Terms of the review; a setting is the default of each."""

    mode: ReviewMode | None = None
    timeout: PositiveDuration | None = None
    on_timeout: ReviewTimeoutAction | None = None


class DeliverySpec(Camel):
    """Terms of the delivery; a setting is the default of each."""

    confirm: bool | None = None
    timeout: PositiveDuration | None = None


class PaymentSpec(Camel):
    """How the order is paid; settings are the defaults."""

    method: PaymentMethod | None = None
    capture: CaptureMode | None = None


class DeletedSpec(Camel):
    """The fields of the spec that are read for a deleted Order."""

    order_id: str | None = None
    cancel_reason: str = ""
    deletion_policy: str = DeletionPolicy.CANCEL
    """A newer CRD may have values other than those of `DeletionPolicy`."""


class OrderSpec(DeletedSpec):
    """The spec of an Order."""

    items: tuple[Item, ...]
    address: Address
    customer: Customer | None = None
    payment_id: str | None = None
    payment: PaymentSpec | None = None
    currency: Currency | None = None
    adjustments: tuple[Adjustment, ...] | None = None
    reference: Reference | None = None
    review: ReviewSpec | None = None
    deadline: PositiveDuration | None = None
    delivery: DeliverySpec | None = None
    approved: bool = False
    cancel: bool = False
    deletion_policy: DeletionPolicy = DeletionPolicy.CANCEL


MUTABLE = frozenset({"approved", "cancel", "cancel_reason", "address", "payment", "deletion_policy"})
"""Fields of the spec that may change after creation, of `payment` only the method; the content hash covers the rest."""


class Condition(Camel):
    """A `metav1.Condition`."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str
    observed_generation: int | None = None


class PaymentState(PaymentView, Camel):
    """The order's payment."""


class HoldState(Hold, Camel):
    """Why the order waits before its dispatch."""


class ShipmentState(ShipmentView, Camel):
    """One shipment of the order."""


class DeletedState(Camel):
    """The fields of the status that are read for a deleted Order."""

    workflow_id: str | None = None
    """Set once the Order started or adopted its order; never set for a conflict."""
    ended: bool | None = None


class OrderResourceStatus(DeletedState):
    """The status of an Order."""

    observed_generation: int | None = None
    order_id: str | None = None
    run_id: str | None = None
    step: Step | None = None
    approved: bool | None = None
    canceled: bool | None = None
    cancel_reason: str | None = None
    payment: PaymentState | None = None
    hold: HoldState | None = None
    shipments: tuple[ShipmentState, ...] | None = None
    tracking_number: str | None = None
    dispatch_failed_reason: str | None = None
    last_error: str | None = None
    retries: dict[str, int] | None = None
    conditions: tuple[Condition, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None
    completed_at: datetime | None = None

    def condition(self, kind: str) -> Condition | None:
        """The condition of a type; None if there is none."""
        return next((condition for condition in self.conditions if condition.type == kind), None)

    def body(self) -> dict[str, Any]:
        """The status as JSON, without unset fields."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Metadata(Camel):
    """The fields of an object's metadata that the operator reads."""

    namespace: str
    name: str
    uid: str
    generation: int = 1
    finalizers: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)
    deletion_timestamp: str | None = None


class DeletedOrder(Camel):
    """The part of an Order that has to be valid for its deletion; the rest may be of another version of the CRD."""

    metadata: Metadata
    spec: DeletedSpec
    status: DeletedState = DeletedState()

    @property
    def order_id(self) -> str:
        """Id of the order: `spec.orderId`, or else the Order's name."""
        return self.spec.order_id or self.metadata.name

    @property
    def owner(self) -> str:
        """The Order as the owner of its order: `namespace/name`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def deleting(self) -> bool:
        """Whether the Order is being deleted."""
        return self.metadata.deletion_timestamp is not None

    @property
    def has_finalizer(self) -> bool:
        """Whether the Order has the operator's finalizer."""
        return FINALIZER in self.metadata.finalizers

    @property
    def has_ended_label(self) -> bool:
        """Whether the Order has the label of ended Orders, which takes it out of the watch."""
        return ENDED_LABEL in self.metadata.labels


class OrderResource(DeletedOrder):
    """An Order whose spec is valid."""

    spec: OrderSpec
    status: OrderResourceStatus = OrderResourceStatus()


DELETED = "the Order was deleted"
"""Default cancel reason of an order whose Order is deleted."""


def order_input(order: OrderResource, settings: Settings) -> OrderInput:
    """The workflow's input.

    Args:
        order: the Order.
        settings: the defaults of terms that the spec leaves out.
    """
    spec = order.spec
    return OrderInput(
        order_id=order.order_id,
        items=spec.items,
        address=spec.address,
        customer=spec.customer or Customer(),
        payment_id=spec.payment_id or "",
        payment=settings.payment(spec.payment),
        currency=spec.currency or DEFAULT_CURRENCY,
        adjustments=spec.adjustments or (),
        reference=spec.reference or "",
        review=settings.review(spec.review),
        deadline=spec.deadline or settings.order_deadline,
        delivery=settings.delivery(spec.delivery),
        # The cancel is a signal after the start: an order started as approved could be charged before it.
        approved=spec.approved and not spec.cancel,
        # A start covers no generation of a spec with a cancel.
        generation=0 if spec.cancel else order.metadata.generation,
        owner=order.owner,
        owner_uid=order.metadata.uid,
        content_hash=spec_hash(order),
        policy=settings.order_policy(),
    )


def spec_hash(order: OrderResource) -> str:
    """Hash of the immutable fields: the same for an Order that is deleted and applied again."""
    content = order.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=set(MUTABLE))
    capture = order.spec.payment and order.spec.payment.capture
    if capture is not None:
        content["payment"] = {"capture": capture}
    return content_hash(content)


def claim(order: DeletedOrder) -> Claim:
    """The Order's claim to its order id; without a content hash if the spec is invalid."""
    content_hash = spec_hash(order) if isinstance(order, OrderResource) else ""
    return Claim(order.order_id, order.owner, order.metadata.uid, content_hash)


def cancellation(order: DeletedOrder) -> SpecUpdate:
    """The cancel that a deleted Order sends to its order."""
    return SpecUpdate(
        generation=order.metadata.generation,
        owner_uid=order.metadata.uid,
        cancel=True,
        cancel_reason=order.spec.cancel_reason or DELETED,
    )


def spec_update(order: OrderResource) -> SpecUpdate:
    """The mutable fields that the Order sends to its order."""
    return SpecUpdate(
        **dict(order.spec),
        payment_method=(order.spec.payment and order.spec.payment.method) or "",
        generation=order.metadata.generation,
        owner_uid=order.metadata.uid,
    )


def unmet_fields(spec: OrderSpec, status: OrderStatus) -> list[str]:
    """Names of the mutable fields of the spec that an ended order does not match."""
    unmet = {
        "approved": spec.approved and not status.approved,
        "cancel": spec.cancel and not status.canceled,
        "address": spec.address != status.address,
    }
    return [name for name, is_unmet in unmet.items() if is_unmet]
