"""The faults of a chaos run and the plans of its clients; the seed alone determines both.

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
    (CLIENTS, API),
    (CLIENTS, APISERVER),
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


class Channel(StrEnum):
    """How an order is sent."""

    HTTP = "http"
    KUBERNETES = "kubernetes"


class Action(StrEnum):
    """What a client does to an order later."""

    APPROVE = "approve"
    REDIRECT = "redirect"
    CANCEL = "cancel"
    CANCEL_PAYMENT = "cancel payment"
    DELETE = "delete"


@dataclass(frozen=True)
class OrderPlan:
    """One order and its actions, each with the seconds after the order was accepted."""

    order_id: str
    channel: Channel
    manual: bool
    rejected_by: str | None
    """`provider`, `carrier`, or None."""
    deadline: int | None
    """In seconds."""
    actions: tuple[tuple[float, Action], ...]

    @property
    def payment_id(self) -> str:
        """Its payment id; the simulated provider rejects some by prefix."""
        return f"{'refuse' if self.rejected_by == 'provider' else 'pay'}-{self.order_id}"

    @property
    def sku(self) -> str:
        """Its item; the simulated carrier rejects one SKU."""
        return "refuse-dispatch" if self.rejected_by == "carrier" else "widget"


def order_plans(seed: int, orders: int) -> list[OrderPlan]:
    """Return the orders of a run: half over HTTP, half in Kubernetes."""
    return [_order_plan(random.Random(f"{seed}/order/{number}"), seed, number) for number in range(1, orders + 1)]


def _order_plan(rng: random.Random, seed: int, number: int) -> OrderPlan:
    channel = Channel.HTTP if number % 2 else Channel.KUBERNETES
    manual = rng.random() < 0.4
    actions: list[tuple[float, Action]] = []
    if manual and rng.random() < 0.85:
        actions.append((rng.uniform(0, 4), Action.APPROVE))
    if rng.random() < 0.3:
        actions.append((rng.uniform(0, 5), Action.REDIRECT))
    if rng.random() < 0.3:
        actions.append((rng.uniform(0, 6), rng.choice((Action.CANCEL, Action.CANCEL_PAYMENT))))
    if channel is Channel.KUBERNETES:
        actions = [(after, Action.CANCEL if action is Action.CANCEL_PAYMENT else action) for after, action in actions]
        if rng.random() < 0.25:
            actions.append((rng.uniform(0, 8), Action.DELETE))
    rejected_by = rng.choices(("provider", "carrier", None), (5, 8, 87))[0]
    deadline = rng.randint(5, 15) if rng.random() < 0.05 else None
    return OrderPlan(f"storm-{seed}-{number}", channel, manual, rejected_by, deadline, tuple(sorted(actions)))
