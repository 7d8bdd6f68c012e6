"""A model of an order's life, independent of the product: its transitions, and the ends that are possible after given
requests and failures."""

from __future__ import annotations

from dataclasses import dataclass, field

TRANSITIONS = {
    "receive": "validate canceled failed",
    "validate": "manual_review charge canceled failed",
    "manual_review": "charge canceled failed",
    "charge": "shipping canceled failed",
    "shipping": "shipped canceled failed",
    "shipped": "delivered",
    "delivered": "",
    "canceled": "",
    "failed": "",
}
DISPATCHED = {"shipped", "delivered"}


def reachable(before: str, after: str) -> bool:
    """Return whether an order can be at one step and later at the other."""
    return before == after or any(reachable(following, after) for following in TRANSITIONS[before].split())


@dataclass
class Expected:
    """The possible outcomes of one order, given its requests and failures so far."""

    needs_approval: bool = False
    timeout_approves: bool = False
    confirms: bool = False
    address: set[str] = field(default_factory=set)
    """Streets to which the package may go."""
    approved: bool = False
    approval_possible: bool = False
    cancel_accepted: bool = False
    cancel_possible: bool = False
    may_fail: bool = False
    carrier_confirmed: bool = False

    def ends(self) -> set[str]:
        """Return the steps at which the order may end."""
        if self.cancel_accepted:
            return {"canceled"}
        found = {"canceled"} if self.cancel_possible else set()
        if self.needs_approval and not self.approved and not self.timeout_approves:
            found.add("canceled")
        if not self.needs_approval or self.approved or self.approval_possible or self.timeout_approves:
            found |= {"shipped"} | ({"failed"} if self.may_fail else set())
            found |= {"delivered"} if self.confirms and self.carrier_confirmed else set()
        return found

    def ledger_error(self, end: str, charges: int, refunds: int, parcels: int) -> str | None:
        """Return what is wrong with the ledgers of an order that ended at `end`; None if nothing is."""
        correct = (
            (charges, refunds, parcels) == (1, 0, 1)
            if end in DISPATCHED
            else (charges == refunds <= 1, parcels) == (True, 0)
        )
        return None if correct else f"{end} with {charges} charges, {refunds} refunds, {parcels} parcels"
