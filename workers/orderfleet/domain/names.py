"""Names that several processes share: task queues, workflow types, handlers, ids, idempotency keys.

Ids and keys must be pure functions of the order, so that every retry and every process computes the same one.
"""

from __future__ import annotations

from typing import Final

ORDERS_TASK_QUEUE: Final = "orders-tq"
SHIPPING_TASK_QUEUE: Final = "shipping-tq"

ORDER_WORKFLOW: Final = "OrderWorkflow"
SHIPPING_WORKFLOW: Final = "ShippingWorkflow"
REFUND_WORKFLOW: Final = "RefundWorkflow"
COMPENSATION_WORKFLOW: Final = "CompensationWorkflow"
ORPHAN_SWEEP_WORKFLOW: Final = "OrphanSweepWorkflow"
RECONCILIATION_WORKFLOW: Final = "ReconciliationWorkflow"
ORPHAN_SWEEP: Final = "orderfleet-orphan-sweep"
"""Prefix of the ids of the orphan sweep's schedule and of its workflows."""

RECONCILIATION: Final = "orderfleet-reconciliation"
"""Prefix of the ids of the reconciliation's schedule and of its workflows."""

STATUS_QUERY: Final = "status"
RECONCILIATION_PROGRESS: Final = "progress"
APPROVE: Final = "approve"
CANCEL_ORDER: Final = "cancel_order"
UPDATE_ADDRESS: Final = "update_address"
CANCEL_PAYMENT: Final = "cancel_payment"
APPLY_SPEC: Final = "apply_spec"
RETRY_PAYMENT: Final = "retry_payment"
PAYMENT_UPDATE: Final = "payment_update"
PAYMENT_RECORDED: Final = "payment_recorded"
CARRIER_UPDATE: Final = "carrier_update"
DISPATCH_FAILED: Final = "dispatch_failed"
SHIPMENT_ANSWER: Final = "shipment_answer"
CHANGE_ADDRESS: Final = "change_address"
CANCEL_SHIPMENT: Final = "cancel_shipment"
REFUND_DECISION: Final = "decision"

ORDER_REFUND: Final = "order"
"""Id of the refund of everything that is left, which an order makes that is canceled or fails after its charge."""

MEMO_OWNER: Final = "owner"
MEMO_OWNER_UID: Final = "owner_uid"
MEMO_CONTENT_HASH: Final = "content_hash"
MEMO_ORDER_ID: Final = "order_id"
MEMO_PAYMENT_ID: Final = "payment_id"
MEMO_REFUND_ID: Final = "refund_id"

CRD_GROUP: Final = "orderfleet.dev"
CRD_VERSION: Final = "v1alpha1"
CRD_PLURAL: Final = "orders"
FINALIZER: Final = "orderfleet.dev/order"
ENDED_LABEL: Final = "orderfleet.dev/ended"


_ORDER_PREFIX: Final = "order-"


def order_workflow_id(order_id: str) -> str:
    """Id of the order's workflow; an order id is used for one workflow only."""
    return f"{_ORDER_PREFIX}{order_id}"


def may_be_workflow_id(name: str) -> bool:
    """Whether the name of an order may be its workflow id. An order id can have the same prefix."""
    return name.startswith(_ORDER_PREFIX) and len(name) > len(_ORDER_PREFIX)


def order_id_of(workflow_id: str) -> str:
    """The order id in an order workflow's id.

    Raises:
        ValueError: it is not the id of an order workflow.
    """
    if not may_be_workflow_id(workflow_id):
        raise ValueError(f"{workflow_id!r} is not an order workflow id: expected order-ORDER_ID")
    return workflow_id.removeprefix(_ORDER_PREFIX)


def shipment_id(order_id: str, attempt: int) -> str:
    """Id of the order's `attempt`-th shipment, from 1, and of its workflow."""
    return f"shipping-{order_id}-{attempt}"


def booking_key(order_id: str) -> str:
    """Idempotency key at the carrier: one parcel per order, for any number of shipments."""
    return f"ship-{order_id}"


def default_payment_id(order_id: str) -> str:
    """Payment id of an order without one of its own."""
    return f"pay-{order_id}"


def refund_workflow_id(payment_id: str, number: int = 1, *, refund_id: str = ORDER_REFUND) -> str:
    """Id of the workflow that makes a refund of a payment.

    No payment id and no refund id contains a slash, so an id is never that of another payment. It may be that of
    another refund of the same payment, which the memo distinguishes.

    Args:
        payment_id: the payment.
        number: above 1 if the workflows with lower numbers are of another client, or closed without a refund.
        refund_id: of the refund; by default that of everything that is left, which has the payment's id alone.
    """
    workflow_id = f"refund-{payment_id}"
    return _numbered(workflow_id if refund_id == ORDER_REFUND else f"{workflow_id}/{refund_id}", number)


def compensation_workflow_id(order_id: str, number: int = 1) -> str:
    """Id of the workflow that compensates an orphaned order.

    Args:
        order_id: the order.
        number: above 1 if workflows of another client have the lower numbers.
    """
    return _numbered(f"compensation-{order_id}", number)


def orphan_sweep_id(task_queue: str) -> str:
    """Id of the orphan sweep's schedule, one per queue of the order workers; Temporal appends a time for each run."""
    return f"{ORPHAN_SWEEP}-{task_queue}"


def reconciliation_id(task_queue: str) -> str:
    """Id of the reconciliation's schedule, one per queue of the order workers; Temporal appends a time for each run."""
    return f"{RECONCILIATION}-{task_queue}"


def reconciliation_command_id(task_queue: str) -> str:
    """Id of the workflow of a reconciliation by command; one runs at a time."""
    return f"{reconciliation_id(task_queue)}/command"


def _numbered(workflow_id: str, number: int) -> str:
    return workflow_id if number == 1 else f"{workflow_id}/{number}"
