"""What an order may do, in a few lines that know nothing of the product's: which moves there are, and
which ends are open after what was asked of it and what went wrong."""

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
COMPENSATED = {"canceled", "failed"}


def reachable(before: str, after: str) -> bool:
    """Whether an order may be seen first at one step and then at the other."""
    return before == after or any(reachable(following, after) for following in TRANSITIONS[before].split())


@dataclass
class Expected:
    """One order, as far as it can be told from outside."""

    needs_approval: bool = False
    time_out_approves: bool = False
    confirms: bool = False
    address: set[str] = field(default_factory=set)
    """Where the package may go."""
    approved: bool = False
    approval_possible: bool = False
    cancel_accepted: bool = False
    cancel_possible: bool = False
    may_fail: bool = False
    carrier_confirmed: bool = False

    def ends(self) -> set[str]:
        """The steps at which it may end."""
        if self.cancel_accepted:
            return {"canceled"}
        found = {"canceled"} if self.cancel_possible else set()
        if self.needs_approval and not self.approved and not self.time_out_approves:
            found.add("canceled")
        if not self.needs_approval or self.approved or self.approval_possible or self.time_out_approves:
            found |= {"shipped"} | ({"failed"} if self.may_fail else set())
            found |= {"delivered"} if self.confirms and self.carrier_confirmed else set()
        return found

    def ledger_error(self, end: str, charges: int, given_back: int, parcels: int) -> str | None:
        """What is not as it must be; None if all is."""
        fine = (
            (charges, given_back, parcels) == (1, 0, 1)
            if end in DISPATCHED
            else (charges == given_back <= 1, parcels) == (True, 0)
        )
        return None if fine else f"{end} with {charges} charges, {given_back} given back, {parcels} parcels"
