"""What can be known of a demo's order once it is over: Kubernetes, the audit trail, and the providers' own books.

`checks` judges by it. The books are those of the simulated payment provider and carrier: what they
say of money and parcels holds whatever the product's record believes.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orderfleet.cli.errors import read_settings
from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.providers.carriers.simulated import BookedParcel, CarrierLedger
from orderfleet.providers.payments.simulated import PaymentEntry, PaymentLedger
from orderfleet.store.pool import connect
from orderfleet.store.reads import OrderReads
from orderfleet_local.demo.environment import DemoEnvironment, Kubectl
from orderfleet_local.demo.view import Status


@dataclass(frozen=True)
class Facts:
    """One order, seen from every side."""

    status: Status
    """As Kubernetes has it."""
    events: Sequence[RecordedEvent]
    charges_asked: int
    """How often the provider was asked to charge."""
    money: Sequence[PaymentEntry]
    parcels: Sequence[BookedParcel]


def gather_facts(stage: DemoEnvironment, kubectl: Kubectl, name: str) -> Facts:
    """Look everywhere.

    Raises:
        Failed: kubectl failed.
        StoreUnavailable: the record did not answer.
    """
    status = kubectl.status(name)
    payment_id = (status.get("payment") or {}).get("id")
    payments, carrier = PaymentLedger(stage.state.ledger), CarrierLedger(stage.state.ledger)
    return Facts(
        status=status,
        events=recorded_events(stage, name),
        charges_asked=sum(1 for call in payments.calls() if call == ("charge", payment_id)),
        money=[entry for entry in payments.entries() if entry.order_id == name],
        parcels=[parcel for parcel in carrier.parcels() if parcel.order_id == name and not parcel.voided],
    )


def charged_at_the_provider(stage: DemoEnvironment, order_id: str) -> bool:
    """Whether the provider has taken the money, whoever knows of it."""
    return any(entry.order_id == order_id for entry in PaymentLedger(stage.state.ledger).entries())


def recorded_events(stage: DemoEnvironment, order_id: str) -> list[RecordedEvent]:
    """The audit trail.

    Raises:
        StoreUnavailable: the record did not answer.
    """
    settings = read_settings(database_url=stage.state.database_url)

    async def read() -> list[RecordedEvent]:
        async with connect(settings, "demo") as database:
            return await OrderReads(database).events(order_id)

    return asyncio.run(read())


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
            text += f" and gave {'it back ' + _often(count['refund']) if count['refund'] else 'nothing back'}"
        status = (facts.status.get("payment") or {}).get("status")
        text += f"; Kubernetes says {status}" if status else ""
        return Finding(text, (count["charge"], count["refund"], status) == (times, given_back, stands))

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


_FINE = Text("\N{CHECK MARK}", "green")

_WRONG = Text("x", "red")


@dataclass(frozen=True)
class Outcome:
    """One scenario that was played."""

    scenario: str
    order: str
    findings: Sequence[Finding]
    problem: str
    """Why it did not come to its end; empty when it did."""
    seconds: float

    @property
    def fine(self) -> bool:
        """Whether everything was as it should be."""
        return not self.problem and all(finding.fine for finding in self.findings)

    @property
    def complaint(self) -> str:
        """What wasn't, in words; empty when all was."""
        wrong = [finding.text for finding in self.findings if not finding.fine]
        return self.problem or "; ".join(wrong)


def tell(console: Console, outcome: Outcome) -> None:
    """Print what was found."""
    for finding in outcome.findings:
        console.print(Text.assemble("  ", _FINE if finding.fine else _WRONG, " ", finding.text))


def summary(outcomes: Sequence[Outcome]) -> Table:
    """A line a scenario."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "SCENARIO", "ORDER", "SECONDS", ""):
        table.add_column(column, overflow="fold")
    for outcome in outcomes:
        mark = _FINE if outcome.fine else _WRONG
        first_line = outcome.complaint.partition("\n")[0]
        table.add_row(mark, outcome.scenario, outcome.order, f"{outcome.seconds:.1f}", Text(first_line))
    return table
