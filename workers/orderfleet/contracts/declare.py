"""The declared state of an order: what may still change after its start.

One idempotent signal carries all of it. A signal is durable while no worker runs; sent again, or
out of order, it changes nothing, because the workflow only takes a generation of the same Order
above the last.
"""

from __future__ import annotations

from pydantic import Field

from orderfleet.contracts.base import Contract, Int64
from orderfleet.contracts.order import Address


class Declaration(Contract):
    """The declared state at one generation of the Order."""

    generation: Int64 = Field(ge=1)
    owner_uid: str = Field(default="", max_length=256)
    """Which Order: one deleted and applied again is another object and counts its generations anew."""
    approved: bool = False
    cancel: bool = False
    cancel_reason: str = ""
    address: Address | None = None
