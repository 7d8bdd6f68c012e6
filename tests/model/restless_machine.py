"""The order machine on a real server, whose workers stop and come back between steps and in the midst of them,
with what people told the order meanwhile."""

from __future__ import annotations

from typing import Any

from fleet import ADDRESS
from hypothesis import strategies as st
from hypothesis.stateful import rule
from order_machine import ATTEMPTS, STREETS, OrderMachine, elsewhere, quietly

from orderfleet.domain.order import SpecUpdate

CHANGES = ["approve", "cancel_order", "cancel_payment", "update_address", "apply_spec", "cancel in Temporal"]


class RestlessOrderMachine(OrderMachine):
    """Every worker that comes anew replays what it is given."""

    @rule(told=st.lists(st.sampled_from(CHANGES), max_size=3))
    def workers_restart(self, told) -> None:
        """An attempt that the stop cuts short has failed."""
        self.troubles += 1
        self.model.may_fail |= self.troubles >= ATTEMPTS
        self.do(self.restart(told))

    async def restart(self, told: list[str]) -> None:
        await self.yard.close()
        for change in told:
            await self.tell_nobody(change)
        await self.yard.open()

    async def tell_nobody(self, change: str) -> None:
        """What is told while no worker runs is taken, or comes too late, when one does."""
        model, args = self.model, list[Any]()
        if change == "cancel in Temporal":
            model.cancel_unsure = True
            await quietly(self.handle.cancel())
            return
        if change in {"cancel_order", "cancel_payment"}:
            model.cancel_unsure = True
        elif change == "approve":
            model.approval_unsure = True
        elif change == "update_address":
            args = [elsewhere(STREETS[0])]
            model.address.add(STREETS[0])
        else:
            self.generation += 1
            args = [SpecUpdate(generation=self.generation, owner_uid="uid", approved=True, address=ADDRESS)]
            model.approval_unsure = True
            model.address.add(ADDRESS.street)
        await quietly(self.handle.signal(change, args=args))
