"""The order machine on a real server, whose workers restart at any time while clients send changes."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from model.order_machine import ATTEMPTS, STREETS, OrderMachine, address_at, unless_closed
from orderfleet.domain.order import SpecUpdate
from support.factories import ADDRESS

CHANGES = ["approve", "cancel_order", "cancel_payment", "update_address", "apply_spec", "cancel in Temporal"]


class RestartingOrderMachine(OrderMachine):
    """Every worker that starts replays the open workflows."""

    @rule(changes=st.lists(st.sampled_from(CHANGES), max_size=3))
    def workers_restart(self, changes) -> None:
        """An attempt that a stop interrupts has failed."""
        self.failures += 1
        self.model.may_fail |= self.failures >= ATTEMPTS
        self.do(self.restart(changes))

    async def restart(self, changes: list[str]) -> None:
        await self.order_env.close()
        for change in changes:
            await self.request_without_workers(change)
        await self.order_env.open()

    async def request_without_workers(self, change: str) -> None:
        """A change that is sent while no worker runs is accepted or too late when one does."""
        model, args = self.model, list[Any]()
        if change == "cancel in Temporal":
            model.cancel_possible = True
            await unless_closed(self.handle.cancel())
            return
        if change in {"cancel_order", "cancel_payment"}:
            model.cancel_possible = True
        elif change == "approve":
            model.approval_possible = True
        elif change == "update_address":
            args = [address_at(STREETS[0])]
            model.address.add(STREETS[0])
        else:
            self.generation += 1
            args = [SpecUpdate(generation=self.generation, owner_uid="uid", approved=True, address=ADDRESS)]
            model.approval_possible = True
            model.address.add(ADDRESS.street)
        await unless_closed(self.handle.signal(change, args=args))
