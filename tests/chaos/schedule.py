"""The faults of a chaos run, which its seed determines.

Times are counted in orders, not in seconds, so that a slow machine gets the same storm.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from orderfleet_local.stack.apiserver import APISERVER, ETCD
from orderfleet_local.stack.processes import POSTGRES
from orderfleet_local.stack.roles import ROLES
from orderfleet_local.stack.temporal_server import TEMPORAL

CLIENTS = "clients"
API = "api"
OPERATOR = "operator"
PARTS = (*(role.name for role in ROLES), POSTGRES, TEMPORAL, APISERVER, ETCD)
"""Targets of kills and freezes."""
CONNECTIONS = (
    *((role.name, server) for role in ROLES for server in (POSTGRES, TEMPORAL)),
    (OPERATOR, APISERVER),
    (APISERVER, ETCD),
    *((CLIENTS, server) for server in (API, APISERVER, POSTGRES, TEMPORAL)),
)
"""Client and server of each connection; each pair has a proxy of its own."""


class FaultKind(StrEnum):
    """What a fault does to a part or to a connection."""

    KILLED = "killed"
    FROZEN = "frozen"
    CUT = "cut"
    SILENT = "silent"
    SLOW = "slow"
    HALF_OPEN = "half-open"
    RESPONSES_LOST = "responses lost"


PART_FAULTS = (FaultKind.KILLED, FaultKind.FROZEN)
CONNECTION_FAULTS = (FaultKind.CUT, FaultKind.SILENT, FaultKind.SLOW, FaultKind.HALF_OPEN, FaultKind.RESPONSES_LOST)
MAX_SIMULTANEOUS_FAULTS = 4
"""Faults that start together, at most."""


@dataclass(frozen=True)
class Fault:
    """One fault of a part, or of the connection from the first to the second."""

    kind: FaultKind
    target: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        return f"{' -> '.join(self.target)} {self.kind} for {self.seconds:.0f} s"


@dataclass(frozen=True)
class FaultGroup:
    """Faults that start together once a number of orders was sent."""

    after_orders: int
    faults: tuple[Fault, ...]


def fault_groups(seed: int, faults: int, orders: int) -> list[FaultGroup]:
    """Return faults over all parts and connections, in groups of one to four spread evenly over the orders.

    Every part is killed, then frozen, before one has its second turn; half of the faults affect connections.
    """
    rng = random.Random(f"{seed}/faults")
    parts = _rounds(rng, [(kind, (part,)) for kind in PART_FAULTS for part in PARTS], faults)
    connections = _rounds(rng, [(kind, connection) for kind in CONNECTION_FAULTS for connection in CONNECTIONS], faults)
    drawn = [(parts, connections)[number % 2].pop() for number in range(faults)]
    groups: list[list[Fault]] = []
    while drawn:
        count = min(rng.randint(1, MAX_SIMULTANEOUS_FAULTS), len(drawn))
        groups.append([Fault(kind, target, round(rng.uniform(2, 12), 1)) for kind, target in drawn[:count]])
        del drawn[:count]
    between = orders / (len(groups) + 1)
    return [FaultGroup(int(between * number), tuple(group)) for number, group in enumerate(groups, 1)]


def _rounds(
    rng: random.Random, deck: list[tuple[FaultKind, tuple[str, ...]]], count: int
) -> list[tuple[FaultKind, tuple[str, ...]]]:
    """Return cards in a random order, the whole deck before any card a second time; every target comes early."""
    drawn: list[tuple[FaultKind, tuple[str, ...]]] = []
    while len(drawn) < count:
        left = rng.sample(deck, len(deck))
        while left:
            seen: set[tuple[str, ...]] = set()
            for card in list(left):
                if card[1] not in seen:
                    seen.add(card[1])
                    left.remove(card)
                    drawn.append(card)
    return drawn[::-1]
