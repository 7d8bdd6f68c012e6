"""What a scenario is: an order, what is done to it while it runs, and what must be true in the end.

`scenarios` lists them and `play` plays them. A scenario is data; nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orderfleet.cli.demo.checks import Check
from orderfleet.contracts.status import Step

if TYPE_CHECKING:
    from orderfleet.cli.demo.play import Play

Move = Callable[["Play"], None]
"""Something done to the order, or a wait for something that it does."""


@dataclass(frozen=True)
class Scenario:
    """One thing to watch."""

    name: str
    tells: str
    """What is to be seen, in a sentence."""
    moves: tuple[Move, ...]
    """After the order was applied; at their end the order is waited for until it has ended."""
    ends: Step
    """What the Order's own status must say then."""
    checks: tuple[Check, ...]
    """Beside that."""
    says: Mapping[str, str] = field(default_factory=dict)
    """Fields of that status, and what they must contain."""
    spec: Mapping[str, Any] = field(default_factory=dict)
    """What differs from the sample order."""
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Environment variables that parts of the stack run with meanwhile, by part."""
