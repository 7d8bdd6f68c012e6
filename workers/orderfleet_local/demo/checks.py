"""Checks of a scenario's order once it has ended, and how their results are printed.

They compare the Order's status, the audit trail, and the ledgers of the simulated payment provider and carrier. The
ledgers show what was charged and shipped, independent of the order store.
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
from orderfleet.cli.output import plain_table
from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.status import PaymentStatus, Step
from orderfleet.providers.carriers.simulated import BookedParcel, CarrierLedger
from orderfleet.providers.payments.simulated import PaymentLedger
from orderfleet.providers.payments.simulated_entries import PaymentEntry
from orderfleet.store.pool import connect
from orderfleet.store.reads import OrderReads
from orderfleet_local.demo.environment import DemoEnvironment, Kubectl
from orderfleet_local.demo.view import Status


@dataclass(frozen=True)
class Facts:
    """What every source has of one order."""

    status: Status
    """The status of the Order in Kubernetes."""
    events: Sequence[RecordedEvent]
    charge_look_ups: int
    """How often the payment provider was asked whether it has made the charge."""
    payments: Sequence[PaymentEntry]
    parcels: Sequence[BookedParcel]


def gather_facts(environment: DemoEnvironment, kubectl: Kubectl, name: str) -> Facts:
    """Read an order from every source.

    Args:
        environment: the running stack.
        kubectl: of that stack.
        name: of the Order, which is the order id too.

    Raises:
        Failed: kubectl failed.
        StoreUnavailable: the order store did not answer.
    """
    status = kubectl.status(name)
    payment_id = (status.get("payment") or {}).get("id")
    payment_ledger, carrier_ledger = PaymentLedger(environment.state.ledger), CarrierLedger(environment.state.ledger)
    return Facts(
        status=status,
        events=recorded_events(environment, name),
        charge_look_ups=sum(1 for call in payment_ledger.calls() if call == ("look_up", payment_id)),
        payments=[entry for entry in payment_ledger.entries() if entry.order_id == name],
        parcels=[parcel for parcel in carrier_ledger.parcels() if parcel.order_id == name and not parcel.voided],
    )


def has_provider_charge(environment: DemoEnvironment, order_id: str) -> bool:
    """Return whether the payment provider's ledger has a charge of the order."""
    return any(entry.order_id == order_id for entry in PaymentLedger(environment.state.ledger).entries())


def recorded_events(environment: DemoEnvironment, order_id: str) -> list[RecordedEvent]:
    """Return the order's audit trail.

    Raises:
        StoreUnavailable: the order store did not answer.
    """
    settings = read_settings(database_url=environment.state.database_url)

    async def read() -> list[RecordedEvent]:
        async with connect(settings, "demo") as database:
            return await OrderReads(database).events(order_id)

    return asyncio.run(read())


@dataclass(frozen=True)
class Finding:
    """The result of a check: what was found, and whether it is as expected."""

    text: str
    passed: bool


Check = Callable[[Facts], Finding]


_TIMES: Final = {1: "once", 2: "twice"}


def status_is(step: Step, **fields: str) -> Check:
    """Check that the Order's status has ended at `step`, and that each field of it contains the given text."""

    def check(facts: Facts) -> Finding:
        status = facts.status
        shown = "".join(f", {name} {status.get(name)!r}" for name in fields)
        matches = all(text in str(status.get(name) or "") for name, text in fields.items())
        ended = bool(status.get("ended"))
        return Finding(
            f"status in Kubernetes: {status.get('step')}{' and ended' if ended else ', not ended'}{shown}",
            status.get("step") == step and ended and matches,
        )

    return check


def charged(times: int, *, refunded: int = 0) -> Check:
    """Check the numbers of charges and refunds in the provider's ledger, and the payment status in Kubernetes."""
    expected = (PaymentStatus.REFUNDED if refunded else PaymentStatus.CHARGED) if times else None

    def check(facts: Facts) -> Finding:
        count = Counter(entry.kind for entry in facts.payments)
        amount = next((f" {entry.amount} {entry.currency}" for entry in facts.payments if entry.kind == "charge"), "")
        text = f"the payment provider charged{amount} {_times(count['charge'])}" if amount else "nothing was charged"
        if amount:
            text += f" and refunded {'it ' + _times(count['refund']) if count['refund'] else 'nothing'}"
        status = (facts.status.get("payment") or {}).get("status")
        text += f"; payment status in Kubernetes: {status}" if status else ""
        return Finding(text, (count["charge"], count["refund"], status) == (times, refunded, expected))

    return check


def captured(*, authorizations: int) -> Check:
    """Check that the provider's books have that many authorizations, one capture of the whole, and no other charge."""

    def check(facts: Facts) -> Finding:
        count = Counter(entry.kind for entry in facts.payments)
        amount = next((f"{entry.amount} {entry.currency}" for entry in facts.payments if entry.kind == "capture"), "")
        payment = facts.status.get("payment") or {}
        text = (
            f"the payment provider authorized {_times(count['authorize'])} and captured {amount or 'nothing'}"
            f" {_times(count['capture'])}; payment status in Kubernetes: {payment.get('status')},"
            f" captured {payment.get('captured')}"
        )
        expected = (authorizations, 1, 0, 0, PaymentStatus.CHARGED, payment.get("amount"))
        found = (*(count[kind] for kind in ("authorize", "capture", "charge", "refund")), payment.get("status"))
        return Finding(text, (*found, payment.get("captured")) == expected)

    return check


def refunded_in_part(*amounts: str) -> Check:
    """Check the refunds in the provider's ledger, in this order, and those in the audit trail."""

    def check(facts: Facts) -> Finding:
        refunds = [str(entry.amount) for entry in facts.payments if entry.kind == "refund"]
        recorded = [str(event.detail.get("amount")) for event in facts.events if event.kind is EventKind.REFUNDED]
        charge = next((f"{each.amount} {each.currency}" for each in facts.payments if each.kind == "charge"), "nothing")
        return Finding(
            f"the payment provider charged {charge} and refunded {', '.join(refunds) or 'nothing'}; refunds in the"
            f" audit trail: {', '.join(recorded) or 'none'}",
            charge != "nothing" and refunds == recorded == list(amounts),
        )

    return check


def charge_was_looked_up(facts: Facts) -> Finding:
    """Check that the provider was asked whether it has made the charge, because the first response was lost."""
    return Finding(
        f"the provider was asked {_times(facts.charge_look_ups)} for the outcome of the charge whose response was lost",
        facts.charge_look_ups > 0,
    )


def parcels(count: int, *, street: str | None = None) -> Check:
    """Check the number of parcels in the carrier's ledger, and their street if it is given."""

    def check(facts: Facts) -> Finding:
        streets = [str(json.loads(parcel.address)["street"]) for parcel in facts.parcels]
        what = f"{len(streets)} parcel{'s' * (len(streets) > 1)} to {', '.join(streets)}" if streets else "no parcel"
        elsewhere = street is not None and any(each != street for each in streets)
        return Finding(f"the carrier accepted {what}", len(streets) == count and not elsewhere)

    return check


def every_failed_attempt_recorded(facts: Facts) -> Finding:
    """Check that the Order's status counts the same failed attempts as the audit trail."""
    failed = [event.detail for event in facts.events if event.kind is EventKind.ATTEMPT_FAILED]
    events = dict(Counter(str(detail["activity"]) for detail in failed))
    status = facts.status.get("retries") or {}
    text = f"failed attempts in the audit trail: {_counts(events)}; in Kubernetes: {_counts(status)}"
    return Finding(text, events == dict(status))


def _counts(retries: object) -> str:
    pairs = sorted(retries.items()) if isinstance(retries, dict) else []
    return ", ".join(f"{step} {count}" for step, count in pairs) or "none"


def _times(count: int) -> str:
    return _TIMES.get(count, f"{count} times")


_PASSED: Final = Text("\N{CHECK MARK}", "green")
_FAILED: Final = Text("x", "red")


@dataclass(frozen=True)
class Outcome:
    """The result of one run of a scenario."""

    scenario: str
    order: str
    findings: Sequence[Finding]
    problem: str
    """Why the run did not complete; empty if it did."""
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the run completed and every check passed."""
        return not self.problem and all(finding.passed for finding in self.findings)

    @property
    def failure(self) -> str:
        """Why the run or its checks failed; empty if they passed."""
        failed = [finding.text for finding in self.findings if not finding.passed]
        return self.problem or "; ".join(failed)


def print_findings(console: Console, outcome: Outcome) -> None:
    """Print the result of each check."""
    for finding in outcome.findings:
        console.print(Text.assemble("  ", _PASSED if finding.passed else _FAILED, " ", finding.text))


def summary(outcomes: Sequence[Outcome]) -> Table:
    """Return a table with a row for each scenario."""
    table = plain_table("", "SCENARIO", "ORDER", "SECONDS", "")
    for outcome in outcomes:
        mark = _PASSED if outcome.passed else _FAILED
        first_line = outcome.failure.partition("\n")[0]
        table.add_row(mark, outcome.scenario, outcome.order, f"{outcome.seconds:.1f}", Text(first_line))
    return table
