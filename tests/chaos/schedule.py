"""What goes wrong in a chaos run, and what its customers want: both follow from the seed alone.

`storm` carries it out. Moments are counted in orders, not in seconds, so that a slow machine gets the same
storm. Nothing here may depend on how a run goes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from orderfleet_local.stack.apiserver import APISERVER
from orderfleet_local.stack.etcd import ETCD
from orderfleet_local.stack.processes import POSTGRES
from orderfleet_local.stack.roles import ROLES
from orderfleet_local.stack.temporal_server import TEMPORAL

CUSTOMERS = "customers"
API = "api"
OPERATOR = "operator"
PARTS = (*(role.name for role in ROLES), POSTGRES, TEMPORAL, APISERVER, ETCD)
"""What is killed and frozen."""
LINES = (
    *((role.name, server) for role in ROLES for server in (POSTGRES, TEMPORAL)),
    (OPERATOR, APISERVER),
    (APISERVER, ETCD),
    (CUSTOMERS, API),
    (CUSTOMERS, APISERVER),
)
"""Who talks to whom; each pair has a line of its own."""


class Wrong(StrEnum):
    """What may be wrong with a part or a line."""

    KILLED = "killed"
    FROZEN = "frozen"
    CUT = "cut"
    SILENT = "silent"
    SLOW = "slow"
    HALF_OPEN = "half-open"
    ANSWERS_LOST = "answers lost"


OF_PARTS = (Wrong.KILLED, Wrong.FROZEN)
OF_LINES = (Wrong.CUT, Wrong.SILENT, Wrong.SLOW, Wrong.HALF_OPEN, Wrong.ANSWERS_LOST)
AT_ONCE = 4
"""Faults that begin together, at most."""


@dataclass(frozen=True)
class Fault:
    """One fault: what is wrong with a part, or with the line from the first to the second."""

    wrong: Wrong
    at: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        return f"{' -> '.join(self.at)} {self.wrong} for {self.seconds:.0f} s"


@dataclass(frozen=True)
class Squall:
    """Faults that begin together, once so many orders were asked for."""

    after_orders: int
    faults: tuple[Fault, ...]


def squalls(seed: int, faults: int, orders: int) -> list[Squall]:
    """Faults over all parts and lines, in groups of one to four spread evenly over the orders.

    Every part is killed, then frozen, before one has its second turn; half of the faults are of lines.
    """
    dice = random.Random(f"{seed}/faults")
    parts = _rounds(dice, [(wrong, (part,)) for wrong in OF_PARTS for part in PARTS], faults)
    lines = _rounds(dice, [(wrong, line) for wrong in OF_LINES for line in LINES], faults)
    drawn = [(parts, lines)[number % 2].pop() for number in range(faults)]
    groups: list[list[Fault]] = []
    while drawn:
        count = min(dice.randint(1, AT_ONCE), len(drawn))
        groups.append([Fault(wrong, at, round(dice.uniform(2, 12), 1)) for wrong, at in drawn[:count]])
        del drawn[:count]
    between = orders / (len(groups) + 1)
    return [Squall(int(between * number), tuple(group)) for number, group in enumerate(groups, 1)]


def _rounds(
    dice: random.Random, deck: list[tuple[Wrong, tuple[str, ...]]], enough: int
) -> list[tuple[Wrong, tuple[str, ...]]]:
    """Cards in a random order, all of the deck before any a second time; every target early."""
    drawn: list[tuple[Wrong, tuple[str, ...]]] = []
    while len(drawn) < enough:
        left = dice.sample(deck, len(deck))
        while left:
            seen: set[tuple[str, ...]] = set()
            for card in list(left):
                if card[1] not in seen:
                    seen.add(card[1])
                    left.remove(card)
                    drawn.append(card)
    return drawn[::-1]


class Side(StrEnum):
    """How an order is asked for."""

    HTTP = "http"
    KUBERNETES = "kubernetes"


class Act(StrEnum):
    """What a customer does to an order later."""

    APPROVE = "approve"
    REDIRECT = "redirect"
    CANCEL = "cancel"
    CANCEL_PAYMENT = "cancel payment"
    DELETE = "delete"


@dataclass(frozen=True)
class Wish:
    """One order, and what is done to it so many seconds after it was accepted."""

    order_id: str
    side: Side
    manual: bool
    refused_by: str | None
    """`provider`, `carrier`, or nobody."""
    deadline: int | None
    """Seconds."""
    acts: tuple[tuple[float, Act], ...]

    @property
    def payment_id(self) -> str:
        """Its payment, which the simulated provider refuses by its name."""
        return f"{'refuse' if self.refused_by == 'provider' else 'pay'}-{self.order_id}"

    @property
    def sku(self) -> str:
        """Its item, which the simulated carrier refuses by its name."""
        return "refuse-dispatch" if self.refused_by == "carrier" else "widget"


def wishes(seed: int, orders: int) -> list[Wish]:
    """The orders of a run: half over HTTP, half in Kubernetes."""
    return [_wish(random.Random(f"{seed}/order/{number}"), seed, number) for number in range(1, orders + 1)]


def _wish(dice: random.Random, seed: int, number: int) -> Wish:
    side = Side.HTTP if number % 2 else Side.KUBERNETES
    manual = dice.random() < 0.4
    acts: list[tuple[float, Act]] = []
    if manual and dice.random() < 0.85:
        acts.append((dice.uniform(0, 4), Act.APPROVE))
    if dice.random() < 0.3:
        acts.append((dice.uniform(0, 5), Act.REDIRECT))
    if dice.random() < 0.3:
        acts.append((dice.uniform(0, 6), dice.choice((Act.CANCEL, Act.CANCEL_PAYMENT))))
    if side is Side.KUBERNETES:
        acts = [(after, Act.CANCEL if act is Act.CANCEL_PAYMENT else act) for after, act in acts]
        if dice.random() < 0.25:
            acts.append((dice.uniform(0, 8), Act.DELETE))
    refused_by = dice.choices(("provider", "carrier", None), (5, 8, 87))[0]
    deadline = dice.randint(5, 15) if dice.random() < 0.05 else None
    return Wish(f"storm-{seed}-{number}", side, manual, refused_by, deadline, tuple(sorted(acts)))
