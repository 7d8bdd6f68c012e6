"""The Order resource as typed models: the only reader of its JSON, and the shape of the status written.

`plan` and `status` work on these. `charts/orderfleet/files/crds` holds the schema that the API server
enforces; tests hold both together. Unknown fields are ignored: a newer CRD may have more.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from orderfleet.domain.durations import PositiveDuration
from orderfleet.domain.names import ENDED_LABEL, FINALIZER
from orderfleet.domain.order import (
    Address,
    Currency,
    Customer,
    Delivery,
    Item,
    OrderInput,
    Review,
    ReviewMode,
    ReviewTimeoutAction,
    SpecUpdate,
    content_hash,
)
from orderfleet.domain.status import PaymentStatus, ShipmentStatus, Step
from orderfleet.services.workflow_client import Claim
from orderfleet.settings import Settings


class Camel(BaseModel):
    """A frozen model whose JSON names are in camel case, as Kubernetes writes them."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, alias_generator=AliasGenerator(alias=to_camel)
    )


class DeletionPolicy(StrEnum):
    """What deleting the Order does to an order that has not ended."""

    CANCEL = "Cancel"
    ORPHAN = "Orphan"


class ReviewSpec(Camel):
    """Terms of the review; what is left out is a setting."""

    mode: ReviewMode | None = None
    timeout: PositiveDuration | None = None
    on_timeout: ReviewTimeoutAction | None = None


class DeliverySpec(Camel):
    """Terms of the delivery; what is left out is a setting."""

    confirm: bool | None = None
    timeout: PositiveDuration | None = None


class DeletedSpec(Camel):
    """What is read of the spec of an Order that is deleted."""

    order_id: str | None = None
    cancel_reason: str = ""
    deletion_policy: str = DeletionPolicy.CANCEL
    """One that isn't a `DeletionPolicy` is a newer operator's."""


class OrderSpec(DeletedSpec):
    """What is declared."""

    items: tuple[Item, ...]
    address: Address
    customer: Customer | None = None
    payment_id: str | None = None
    currency: Currency | None = None
    review: ReviewSpec | None = None
    deadline: PositiveDuration | None = None
    delivery: DeliverySpec | None = None
    approved: bool = False
    cancel: bool = False
    deletion_policy: DeletionPolicy = DeletionPolicy.CANCEL


MUTABLE = frozenset({"approved", "cancel", "cancel_reason", "address", "deletion_policy"})

"""Fields of the spec that may change after creation; the others are the order's content."""


class Condition(Camel):
    """A `metav1.Condition`."""

    type: str
    status: str
    reason: str
    message: str
    last_transition_time: str
    observed_generation: int | None = None


class PaymentState(Camel):
    """The order's payment."""

    id: str
    status: PaymentStatus | None = None
    amount: str
    currency: str


class ShipmentState(Camel):
    """One shipment of the order."""

    id: str
    status: ShipmentStatus
    carrier: str | None = None
    tracking_number: str | None = None
    attempts: int = 0
    dispatch_failed_reason: str | None = None


class DeletedState(Camel):
    """What is read of the status of an Order that is deleted."""

    workflow_id: str | None = None
    """Set once its order was started or taken over, and never for an order that is another's."""
    ended: bool | None = None


class OrderState(DeletedState):
    """The status subresource."""

    observed_generation: int | None = None
    order_id: str | None = None
    run_id: str | None = None
    step: Step | None = None
    approved: bool | None = None
    canceled: bool | None = None
    cancel_reason: str | None = None
    payment: PaymentState | None = None
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
        """The condition of a type, if it is set."""
        return next((condition for condition in self.conditions if condition.type == kind), None)

    def body(self) -> dict[str, Any]:
        """The JSON of it, without what is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Metadata(Camel):
    """What the operator needs of an object's metadata."""

    namespace: str
    name: str
    uid: str
    generation: int = 1
    resource_version: str = ""
    finalizers: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)
    deletion_timestamp: str | None = None


class DeletedOrder(Camel):
    """An Order as far as it has to be read once it is deleted: its other fields may be another version's."""

    metadata: Metadata
    spec: DeletedSpec
    status: DeletedState = DeletedState()

    @property
    def order_id(self) -> str:
        """The order id that it declares."""
        return self.spec.order_id or self.metadata.name

    @property
    def owner(self) -> str:
        """How its order names it: `namespace/name`."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def deleting(self) -> bool:
        """Whether somebody deleted it."""
        return self.metadata.deletion_timestamp is not None

    @property
    def has_finalizer(self) -> bool:
        """Whether our finalizer keeps it from going away."""
        return FINALIZER in self.metadata.finalizers

    @property
    def has_ended_label(self) -> bool:
        """Whether it carries the label of ended Orders."""
        return ENDED_LABEL in self.metadata.labels


class OrderResource(DeletedOrder):
    """An Order."""

    spec: OrderSpec
    status: OrderState = OrderState()


DELETED = "the Order was deleted"

"""Cancel reason of an order whose Order is deleted."""


def order_input(order: OrderResource, settings: Settings) -> OrderInput:
    """The input with every default in it."""
    spec = order.spec
    review, delivery = spec.review or ReviewSpec(), spec.delivery or DeliverySpec()
    given = {
        "payment_id": spec.payment_id,
        "currency": spec.currency,
        "review": Review(**{**dict(settings.review()), **_named(review)}),
        "delivery": Delivery(**{**dict(settings.delivery()), **_named(delivery)}),
        "deadline": spec.deadline or settings.order_deadline,
    }
    return OrderInput(
        order_id=order.order_id,
        items=spec.items,
        address=spec.address,
        customer=spec.customer or Customer(),
        # An order that is to be canceled must not be charged before it is told so.
        approved=spec.approved and not spec.cancel,
        generation=started_generation(order),
        owner=order.owner,
        owner_uid=order.metadata.uid,
        content_hash=spec_hash(order),
        policy=settings.order_policy(),
        **{name: value for name, value in given.items() if value is not None},
    )


def _named(terms: ReviewSpec | DeliverySpec) -> dict[str, Any]:
    """The terms that the spec names, as values: a dump would make text of the durations."""
    return {name: value for name, value in terms if value is not None}


def started_generation(order: OrderResource) -> int:
    """The generation that a start carries whole; a cancel has to be declared after it."""
    return 0 if order.spec.cancel else order.metadata.generation


def spec_hash(order: OrderResource) -> str:
    """Hash of what may not change: the same for the same Order applied again."""
    return content_hash(order.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=set(MUTABLE)))


def claim(order: DeletedOrder) -> Claim:
    """Who the Order is to those who know its order; without its content where that can't be read."""
    content_hash = spec_hash(order) if isinstance(order, OrderResource) else ""
    return Claim(order.order_id, order.owner, order.metadata.uid, content_hash)


def cancellation(order: DeletedOrder) -> SpecUpdate:
    """What an Order that is deleted asks of the running order."""
    return SpecUpdate(
        generation=order.metadata.generation,
        owner_uid=order.metadata.uid,
        cancel=True,
        cancel_reason=order.spec.cancel_reason or DELETED,
    )


def spec_update(order: OrderResource) -> SpecUpdate:
    """What the Order asks of the running order now."""
    spec, metadata = order.spec, order.metadata
    return SpecUpdate(
        generation=metadata.generation,
        owner_uid=metadata.uid,
        approved=spec.approved,
        cancel=spec.cancel,
        cancel_reason=spec.cancel_reason,
        address=spec.address,
    )


def unmet_fields(order: OrderResource, *, approved: bool, canceled: bool, same_address: bool) -> list[str]:
    """What the Order declares that is not so, for an order that can't be told any more."""
    wanted = {
        "approved": order.spec.approved and not approved,
        "cancel": order.spec.cancel and not canceled,
        "address": not same_address,
    }
    return [name for name, missing in wanted.items() if missing]
