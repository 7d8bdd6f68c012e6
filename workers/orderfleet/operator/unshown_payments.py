"""Writes a payment that changed after the end of its order, such as by a refund, to the status of the ended Order.

Ended Orders are not watched: the order store keeps which of them are to be written, also while no operator runs. Only
the payment and the time of the update may change here, never a condition, a finalizer or a workflow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from pydantic import ValidationError

from orderfleet.domain.events import RecordedOrder
from orderfleet.domain.label_selectors import LabelSelector
from orderfleet.domain.ports import ChangeFeed
from orderfleet.operator.cache import Key, RecordLoader, key_of_owner
from orderfleet.operator.crd import DeletedOrder, OrderResource, claim
from orderfleet.operator.kubernetes import Kubernetes, ObjectConflict, ObjectNotFound, Write
from orderfleet.operator.status import merge_patch, payment_fields
from orderfleet.services.workflow_client import conflict
from orderfleet.settings import Settings

UNFINISHED_RECHECK: Final = 5.0
"""Seconds after which an Order is read again whose status does not have the end of its order yet."""


class UnshownPayments:
    """The payments that ended Orders may not show.

    Args:
        feed: the order store's list of them.
        records: reads orders.
        kubernetes: reads and writes Orders.
        settings: namespaces and label selector of the operator's Orders.
        enqueue: has `show` called again after a number of seconds.
    """

    def __init__(
        self,
        *,
        feed: ChangeFeed,
        records: RecordLoader,
        kubernetes: Kubernetes,
        settings: Settings,
        enqueue: Callable[[Key, float], None],
    ) -> None:
        self._feed = feed
        self._records = records
        self._kubernetes = kubernetes
        self._namespaces: Collection[str] = settings.watched_namespaces()
        self._selector = LabelSelector.read(settings.operator_selector)
        self._enqueue = enqueue
        self._pending: dict[Key, set[str]] = {}
        """Ids of the orders of an Order; several if Orders of one name had different order ids."""

    def add(self, owner: str, order_id: str) -> None:
        """Have a payment shown, unless its Order is in a namespace that the operator does not watch.

        Args:
            owner: the Order, as `namespace/name`.
            order_id: its order.
        """
        key = key_of_owner(owner)
        if not self._namespaces or key.namespace in self._namespaces:
            self._pending.setdefault(key, set()).add(order_id)
            self._enqueue(key, 0.0)

    async def load(self) -> None:
        """Add the payments that changed while no operator wrote them. Raises as `ChangeFeed`."""
        await self._feed.started()
        for owner, order_id in await self._feed.unshown_payments():
            self.add(owner, order_id)

    async def show(self, key: Key) -> None:
        """Write the payments that were added for an Order.

        Raises:
            OrderfleetError: a service does not respond, or rejected a request; try again later.
        """
        order_ids = self._pending.pop(key, set())
        try:
            for order_id in tuple(order_ids):
                await self._show(key, order_id)
                order_ids.discard(order_id)
        finally:
            if order_ids:
                self._pending.setdefault(key, set()).update(order_ids)

    async def _show(self, key: Key, order_id: str) -> None:
        record = await self._records.read(order_id)
        if record is None:
            return
        try:
            body = await self._written(key, record)
        except ObjectNotFound:
            body = None
        if body is not None and not self._selector.matches(body["metadata"].get("labels", {})):
            return  # The operator of its label shows it.
        if body is None or not _owns(body, record):
            await self._feed.payment_shown(order_id, record.version, gone=True)
        elif _patch(body, record):
            # The reconciler writes the end of the order, and the payment with it.
            self._pending.setdefault(key, set()).add(order_id)
            self._enqueue(key, UNFINISHED_RECHECK)
        else:
            await self._feed.payment_shown(order_id, record.version)

    async def _written(self, key: Key, record: RecordedOrder) -> dict[str, Any]:
        """The Order, after its payment is written if it is this operator's, ended and of this order."""
        while True:
            body = await self._kubernetes.get(key)
            metadata, patch = body["metadata"], _patch(body, record)
            if not (
                patch
                and body.get("status", {}).get("ended")
                and self._selector.matches(metadata.get("labels", {}))
                and _owns(body, record)
            ):
                return body
            try:
                return await self._kubernetes.patch(key, Write.STATUS, {"status": patch}, metadata["resourceVersion"])
            except ObjectConflict:
                continue


def _patch(body: dict[str, Any], record: RecordedOrder) -> dict[str, Any]:
    """The merge patch of the status that shows the payment; empty if it is shown."""
    shown, wanted = body.get("status", {}), payment_fields(record)
    if shown.get("payment") == wanted["payment"]:
        return {}
    return merge_patch({name: shown.get(name) for name in wanted}, wanted)


def _owns(body: dict[str, Any], record: RecordedOrder) -> bool:
    """Whether an Order is of this order: it started or adopted it, and is no later Order of the name."""
    try:
        order: DeletedOrder = OrderResource.model_validate(body)
    except ValidationError:
        order = DeletedOrder.model_validate(body)
    held = conflict(claim(order), owner=record.owner, owner_uid=record.owner_uid, content=record.content_hash)
    return order.order_id == record.order_id and held is None
