"""What people may still change while an order runs: approve it, cancel it, send it elsewhere.

The order workflow's signals, updates and declarations all come here, so that one change has one
meaning whichever way it came. Each method answers why it refused, or None when it took the change;
a rejection is recorded and changes nothing.
"""

from __future__ import annotations

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.domain.base import truncate
    from orderfleet.domain.events import EventKind
    from orderfleet.domain.order import Address, SpecUpdate
    from orderfleet.domain.status import SpecOutcome, SpecResult, Step

from orderfleet.domain import transitions
from orderfleet.domain.validation import of_address
from orderfleet.orders.context import OrderContext
from orderfleet.orders.shipment import ShipmentPhase


class Changes:
    """Changes of one order."""

    def __init__(self, ctx: OrderContext, shipment: ShipmentPhase) -> None:
        self._ctx = ctx
        self._shipment = shipment
        # The last address wins: a change waits until the one before it is answered.
        self._addresses = asyncio.Lock()
        self._declarations = asyncio.Lock()

    def approve(self, by: str) -> str | None:
        """Approve the order; approved again, nothing changes."""
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
        """Cancel the order unless its package is on its way; canceled again, nothing changes."""
        self._ctx.changes += 1
        state, reason = self._ctx.state, truncate(reason)
        if state.cancel_requested is not None:
            return None
        rejection = transitions.rejects_change(state.step)
        if rejection is None and state.step is Step.SHIPPING:
            rejection = await self._shipment.ask_cancel(reason)
        if rejection is not None:
            return self._reject("cancel", rejection)
        if state.cancel_requested is None:
            self._ctx.journal.append(EventKind.CANCEL_REQUESTED, reason=reason, **self._ctx.reviewed())
            state.cancel_requested = reason
        return None

    async def change_address(self, address: Address) -> str | None:
        """Send the package elsewhere unless it is on its way."""
        self._ctx.changes += 1
        async with self._addresses:
            state = self._ctx.state
            wrong = of_address(address)
            if wrong:
                return self._reject("address", "; ".join(wrong))
            if address == state.address:
                return None
            rejection = transitions.rejects_change(state.step)
            if rejection is None and state.cancel_requested is not None:
                rejection = "the order is being canceled"
            if rejection is None and state.step is Step.SHIPPING:
                rejection = await self._shipment.ask_address(address)
            if rejection is not None:
                return self._reject("address", rejection)
            state.address = address
            # Where to is personal data: the row has it, the trail says only that it changed.
            self._ctx.journal.append(EventKind.ADDRESS_CHANGED)
            return None

    async def apply_spec(self, declaration: SpecUpdate) -> None:
        """Take the declared state of a generation; an older or repeated one changes nothing."""
        self._ctx.changes += 1
        async with self._declarations:
            state = self._ctx.state
            last = state.declared
            if declaration.owner_uid == last.owner_uid and declaration.generation <= last.generation:
                return
            rejections: list[str | None] = []
            if declaration.address is not None:
                rejections.append(await self.change_address(declaration.address))
            if declaration.cancel:
                rejections.append(await self.cancel(declaration.cancel_reason or "canceled in the Order"))
            elif declaration.approved:
                rejections.append(self.approve("declaration"))
            why = "; ".join(rejection for rejection in rejections if rejection)
            outcome = SpecOutcome.REJECTED if why else SpecOutcome.APPLIED
            state.declared = SpecResult(
                generation=declaration.generation, owner_uid=declaration.owner_uid, outcome=outcome, reason=why
            )
            self._ctx.journal.append(
                EventKind.SPEC_APPLIED, generation=declaration.generation, outcome=outcome, reason=why
            )

    def _reject(self, change: str, reason: str) -> str:
        self._ctx.journal.append(EventKind.CHANGE_REJECTED, change=change, reason=reason)
        return reason
