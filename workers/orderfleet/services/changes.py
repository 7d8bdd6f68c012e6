"""The changes that a caller can ask an order's workflow for: plain values, which `OrderClient.change` sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel

from orderfleet.domain import names
from orderfleet.domain.order import Address, content_hash


@dataclass(frozen=True)
class Change:
    """One change of an order."""

    name: str
    """Of the workflow's update handler and of its signal handler, which have the same name."""
    args: tuple[Any, ...] = ()

    @classmethod
    def approve(cls) -> Self:
        """Approve the order: the charge follows."""
        return cls(names.APPROVE)

    @classmethod
    def cancel(cls, reason: str) -> Self:
        """Cancel the order."""
        return cls(names.CANCEL_ORDER, (reason,))

    @classmethod
    def cancel_payment(cls, reason: str) -> Self:
        """Cancel the payment and the order: the customer is not charged, or is refunded."""
        return cls(names.CANCEL_PAYMENT, (reason,))

    @classmethod
    def update_address(cls, address: Address) -> Self:
        """Send the package to another address."""
        return cls(names.UPDATE_ADDRESS, (address,))

    def update_id(self, request_id: str) -> str:
        """The id of the update in Temporal, which runs updates of one id once.

        Args:
            request_id: the caller's; one request id may be used for several changes, so the id includes the content.
        """
        content = [arg.model_dump(mode="json") if isinstance(arg, BaseModel) else arg for arg in self.args]
        return f"{request_id}:{self.name}:{content_hash({'args': content})[:16]}"
