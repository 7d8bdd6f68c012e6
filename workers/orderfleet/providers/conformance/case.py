"""A case of the suite."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from orderfleet.providers.conformance.bench import Bench


@dataclass(frozen=True)
class Case:
    """One guarantee, and how it is tried."""

    name: str
    guarantee: str
    """What must hold, in one line."""
    run: Callable[[Bench], Awaitable[None]]
    """Raises `Unexpected` if it does not hold, and `NotApplicable` if it can't be tried."""
