"""Changes of a running order: approval, cancel, address, another capture, and the spec of a new generation.

Signals and updates of the order workflow share these methods. Each returns the reason of a rejection, or None for an
accepted change; a rejection is recorded as an event and changes nothing else.
"""

from __future__ import annotations

import asyncio
from typing import Final

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.domain.base import truncate
    from orderfleet.domain.events import EventKind
    from orderfleet.domain.order import Address, SpecUpdate
    from orderfleet.domain.payment import RetryPayment
    from orderfleet.domain.status import SpecOutcome, SpecResult, Step

from orderfleet.domain import transitions
from orderfleet.orders.context import OrderContext
from orderfleet.orders.shipment import ShipmentPhase

_BEFORE_CHARGE: Final = frozenset({Step.RECEIVE, Step.VALIDATE, Step.MANUAL_REVIEW})


class Changes:
    """Applies changes to one order.

    Args:
        ctx: the order.
        shipment: its shipments, which accept or reject changes once one has started.
    """

    def __init__(self, ctx: OrderContext, shipment: ShipmentPhase) -> None:
        self._ctx = ctx
        self._shipment = shipment
        # The last address wins, so a change waits for the result of the one before it.
        self._addresses = asyncio.Lock()
        self._specs = asyncio.Lock()

    def approve(self, by: str) -> str | None:
        """Approve the order; a second approval changes nothing.

        Args:
            by: how the approval was sent, for the audit trail.

        Returns:
            The reason of a rejection, or None.
        """
        self._ctx.changes += 1
        state = self._ctx.state
        if state.approved:
            return None
        rejection = transitions.rejects_approval(state.step)
        if rejection is None and state.cancel_requested is not None:
            rejection = "the order is being canceled"
        if rejection is not None:
            return self._reject("approve", rejection)
        self._ctx.journal.append(EventKind.APPROVED, by=by, **self._ctx.reviewed())
        state.approved = True
        return None

    async def cancel(self, reason: str) -> str | None:
        """Cancel the order unless its package is dispatched; a second cancel changes nothing.

        Args:
            reason: any text; its beginning is stored.

        Returns:
            The reason of a rejection, or None.
        """
        self._ctx.changes += 1
        state, reason = self._ctx.state, truncate(reason)
        if state.cancel_requested is not None:
            return None
        rejection = transitions.rejects_change(state.step)
        if rejection is None and state.step is Step.SHIPPING:
            rejection = await self._shipment.request_cancel(reason)
        if rejection is not None:
            return self._reject("cancel", rejection)
        if state.cancel_requested is None:
            self._ctx.journal.append(EventKind.CANCEL_REQUESTED, reason=reason, **self._ctx.reviewed())
            state.cancel_requested = reason
        return None

    async def change_address(self, address: Address) -> str | None:
        """Change the address unless the package is dispatched.

        Args:
            address: the new address.

        Returns:
            The reason of a rejection, or None.
        """
        self._ctx.changes += 1
        async with self._addresses:
            state = self._ctx.state
            wrong = self._ctx.address_problems(address)
            if wrong:
                return self._reject("address", "; ".join(wrong))
            if address == state.address:
                return None
            rejection = transitions.rejects_change(state.step)
            if rejection is None and state.cancel_requested is not None:
                rejection = "the order is being canceled"
            if rejection is None and state.step is Step.SHIPPING:
                rejection = await self._shipment.request_address_change(address)
            if rejection is not None:
                return self._reject("address", rejection)
            state.address = address
            state.address_changed = True
            # An address is personal data, which the append-only audit trail must not hold.
            self._ctx.journal.append(EventKind.ADDRESS_CHANGED)
            return None

    def rejects_payment_retry(self) -> str | None:
        """Why the order rejects another capture; None if it accepts it."""
        state = self._ctx.state
        if state.cancel_requested is not None:
            return "the order is being canceled"
        return "the order does not wait for its payment to be captured" if state.hold is None else None

    def retry_payment(self, retry: RetryPayment, by: str) -> str | None:
        """Capture the payment of a held order again.

        Args:
            retry: with another method if it has one.
            by: how the request was sent, for the audit trail.

        Returns:
            The reason of a rejection, or None.
        """
        self._ctx.changes += 1
        rejection = self.rejects_payment_retry()
        if rejection is not None:
            return self._reject("payment", rejection)
        state = self._ctx.state
        # The method is left out of the audit trail, which is kept longer than the order's other data.
        self._ctx.journal.append(EventKind.PAYMENT_RETRIED, by=by, other_method=bool(retry.method))
        state.payment_method = retry.method or state.payment_method
        state.capture_retry = True
        return None

    def _change_method(self, method: str) -> str | None:
        """Apply `spec.payment.method`; a held order captures again with it."""
        state = self._ctx.state
        if method in ("", state.spec_method):
            return None
        if state.hold is not None:
            rejection = self.retry_payment(RetryPayment(method=method), "spec")
        elif state.step in _BEFORE_CHARGE:
            state.payment_method, rejection = method, None
        else:
            late = "payment.method: can change before the charge, and while the order waits for its payment"
            rejection = self._reject("payment", late)
        if rejection is None:
            state.spec_method = method
        return rejection

    async def apply_spec(self, spec: SpecUpdate) -> None:
        """Apply the spec of a generation; an older or repeated generation changes nothing."""
        self._ctx.changes += 1
        async with self._specs:
            state = self._ctx.state
            last = state.declared
            if spec.owner_uid == last.owner_uid and spec.generation <= last.generation:
                return
            rejections: list[str | None] = []
            if spec.address is not None:
                rejections.append(await self.change_address(spec.address))
            rejections.append(self._change_method(spec.payment_method))
            if spec.cancel:
                rejections.append(await self.cancel(spec.cancel_reason or "canceled in the Order"))
            elif spec.approved:
                rejections.append(self.approve("spec"))
            reason = "; ".join(rejection for rejection in rejections if rejection)
            outcome = SpecOutcome.REJECTED if reason else SpecOutcome.APPLIED
            state.declared = SpecResult(
                generation=spec.generation, owner_uid=spec.owner_uid, outcome=outcome, reason=reason
            )
            self._ctx.journal.append(EventKind.SPEC_APPLIED, generation=spec.generation, outcome=outcome, reason=reason)

    def _reject(self, change: str, reason: str) -> str:
        self._ctx.journal.append(EventKind.CHANGE_REJECTED, change=change, reason=reason)
        return reason
