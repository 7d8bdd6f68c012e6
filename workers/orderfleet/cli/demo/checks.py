"""What must be true of a demo's order in the end, each as a check that says what it found.

`scenarios` names them and `play` asks them until all agree. They judge facts and do nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from orderfleet.cli.demo.books import Facts
from orderfleet.contracts.record import EventKind
from orderfleet.contracts.status import PaymentStatus, Step


@dataclass(frozen=True)
class Finding:
    """What a check found, in words, and whether that is right."""

    text: str
    fine: bool


Check = Callable[[Facts], Finding]

_TIMES: Final = {1: "once", 2: "twice"}


def kubernetes_says(step: Step, **fields: str) -> Check:
    """The Order's status is at `step` and ended; each of the fields contains the text given."""

    def check(facts: Facts) -> Finding:
        status = facts.status
        told = "".join(f", {name} {status.get(name)!r}" for name in fields)
        right = all(text in str(status.get(name) or "") for name, text in fields.items())
        ended = bool(status.get("ended"))
        return Finding(
            f"Kubernetes says {status.get('step')}{' and ended' if ended else ', not ended'}{told}",
            status.get("step") == step and ended and right,
        )

    return check


def charged(times: int, *, given_back: int = 0) -> Check:
    """The provider's books have so many charges of the order, and so many of them given back."""
    stands = (PaymentStatus.REFUNDED if given_back else PaymentStatus.CHARGED) if times else None

    def check(facts: Facts) -> Finding:
        count = Counter(entry.kind for entry in facts.money)
        amount = next((f" {entry.amount} {entry.currency}" for entry in facts.money if entry.kind == "charge"), "")
        text = f"the payment provider charged{amount} {_often(count['charge'])}" if amount else "nothing was charged"
        if amount:
            text += f" and gave {'it back ' + _often(count['give_back']) if count['give_back'] else 'nothing back'}"
        status = (facts.status.get("payment") or {}).get("status")
        text += f"; Kubernetes says {status}" if status else ""
        return Finding(text, (count["charge"], count["give_back"], status) == (times, given_back, stands))

    return check


def asked_to_charge_again() -> Check:
    """The provider was asked to charge more than once: the first answer was lost."""
    return lambda facts: Finding(
        f"the provider was asked to charge {_often(facts.charges_asked)}, because the first answer was lost",
        facts.charges_asked > 1,
    )


def parcels(count: int, *, street: str | None = None) -> Check:
    """The carrier took so many parcels, to that street if one is given."""

    def check(facts: Facts) -> Finding:
        streets = [str(json.loads(parcel.address)["street"]) for parcel in facts.parcels]
        what = f"{len(streets)} parcel{'s' * (len(streets) > 1)} to {', '.join(streets)}" if streets else "no parcel"
        elsewhere = street is not None and any(one != street for one in streets)
        return Finding(f"the carrier took {what}", len(streets) == count and not elsewhere)

    return check


def every_attempt_told() -> Check:
    """Each failed attempt is an event of the audit trail, and counted in the Order's status."""

    def check(facts: Facts) -> Finding:
        failed = [event.detail for event in facts.events if event.kind is EventKind.ATTEMPT_FAILED]
        events = dict(Counter(str(detail["activity"]) for detail in failed))
        status = facts.status.get("retries") or {}
        told = ", ".join(f"{step} {count}" for step, count in sorted(events.items())) or "none"
        return Finding(
            f"failed attempts in the audit trail: {told}; in Kubernetes: {_counts(status)}", events == dict(status)
        )

    return check


def _counts(retries: object) -> str:
    pairs = sorted(retries.items()) if isinstance(retries, dict) else []
    return ", ".join(f"{step} {count}" for step, count in pairs) or "none"


def _often(count: int) -> str:
    return _TIMES.get(count, f"{count} times")
