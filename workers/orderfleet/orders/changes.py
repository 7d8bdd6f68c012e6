"""What people may still change while an order runs: approve it, cancel it, send it elsewhere.

The order workflow's signals, updates and declarations all come here, so that one change has one
meaning whichever way it came. Each method answers why it refused, or None when it took the change;
a refusal is recorded and changes nothing.
"""

from __future__ import annotations

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.domain.base import truncate
    from orderfleet.domain.events import EventKind
    from orderfleet.domain.order import Address, SpecUpdate
    from orderfleet.domain.status import DeclarationOutcome, DeclarationResult, Step

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
        refusal = transitions.refuses_approval(state.step)
        if refusal is None and state.cancel_requested is not None:
            refusal = "the order is being canceled"
        if refusal is not None:
            return self._refuse("approve", refusal)
        self._ctx.journal.note(EventKind.APPROVED, by=by, **self._ctx.reviewed())
        state.approved = True
        return None

    async def cancel(self, reason: str) -> str | None:
        """Cancel the order unless its package is on its way; canceled again, nothing changes."""
        self._ctx.changes += 1
        state, reason = self._ctx.state, truncate(reason)
        if state.cancel_requested is not None:
            return None
        refusal = transitions.refuses_change(state.step)
        if refusal is None and state.step is Step.SHIPPING:
            refusal = await self._shipment.ask_cancel(reason)
        if refusal is not None:
            return self._refuse("cancel", refusal)
        if state.cancel_requested is None:
            self._ctx.journal.note(EventKind.CANCEL_REQUESTED, reason=reason, **self._ctx.reviewed())
            state.cancel_requested = reason
        return None

    async def change_address(self, address: Address) -> str | None:
        """Send the package elsewhere unless it is on its way."""
        self._ctx.changes += 1
        async with self._addresses:
            state = self._ctx.state
            wrong = of_address(address)
            if wrong:
                return self._refuse("address", "; ".join(wrong))
            if address == state.address:
                return None
            refusal = transitions.refuses_change(state.step)
            if refusal is None and state.cancel_requested is not None:
                refusal = "the order is being canceled"
            if refusal is None and state.step is Step.SHIPPING:
                refusal = await self._shipment.ask_address(address)
            if refusal is not None:
                return self._refuse("address", refusal)
            state.address = address
            # Where to is personal data: the row has it, the trail says only that it changed.
            self._ctx.journal.note(EventKind.ADDRESS_CHANGED)
            return None

    async def declare(self, declaration: SpecUpdate) -> None:
        """Take the declared state of a generation; an older or repeated one changes nothing."""
        self._ctx.changes += 1
        async with self._declarations:
            state = self._ctx.state
            last = state.declared
            if declaration.owner_uid == last.owner_uid and declaration.generation <= last.generation:
                return
            refusals: list[str | None] = []
            if declaration.address is not None:
                refusals.append(await self.change_address(declaration.address))
            if declaration.cancel:
                refusals.append(await self.cancel(declaration.cancel_reason or "canceled in the Order"))
            elif declaration.approved:
                refusals.append(self.approve("declaration"))
            why = "; ".join(refusal for refusal in refusals if refusal)
            outcome = DeclarationOutcome.REFUSED if why else DeclarationOutcome.APPLIED
            state.declared = DeclarationResult(
                generation=declaration.generation, owner_uid=declaration.owner_uid, outcome=outcome, reason=why
            )
            self._ctx.journal.note(
                EventKind.SPEC_APPLIED, generation=declaration.generation, outcome=outcome, reason=why
            )

    def _refuse(self, change: str, reason: str) -> str:
        self._ctx.journal.note(EventKind.CHANGE_REFUSED, change=change, reason=reason)
        return reason
