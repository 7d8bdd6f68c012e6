"""The outcome of a chaos run, as text and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaos.evidence import Evidence
from chaos.promises import Promise
from chaos.storm import Run
from orderfleet.domain.events import EventKind

_SHOWN = 10
"""Violations of one promise in the text; the JSON has all."""


def document(run: Run, evidence: Evidence, checked: Sequence[Promise]) -> dict[str, Any]:
    """Return all figures of a run."""
    ends: Counter[str] = Counter()
    for order in evidence.orders.values():
        ends[f"{order.status.step}, payment {order.status.payment.status or 'never started'}"] += 1
    refunds = Counter(refund.outcome for client_log in evidence.client_logs.values() for refund in client_log.refunds)
    kinds = Counter(event.kind for events in evidence.events.values() for event in events)
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "run": run.document(),
        "ends": dict(sorted(ends.items())),
        "provider": dict(Counter(entry.kind for entry in evidence.money)),
        "refunds": dict(sorted(refunds.items())),
        "events": {kind: kinds[kind] for kind in (EventKind.HELD, EventKind.PAYMENT_RETRIED)},
        "parcels": sum(not parcel.voided for parcel in evidence.parcels),
        "promises": [{"promise": one.text, "cases": one.cases, "broken": one.broken} for one in checked],
    }


def text(found: dict[str, Any]) -> str:
    """Return the figures as text."""
    run, provider = found["run"], Counter(found["provider"])
    targets: Counter[str] = Counter()
    for description, count in run["faults_by_target"].items():
        targets[description.partition(":")[0]] += count
    took = f"in {run['storm_seconds']:.0f} s, settled {run['settle_seconds']:.0f} s after"
    lines = [
        f"seed {run['seed']}: {run['orders']} orders, {run['faults']} faults {took}",
        *(f"  {count:5}  {target}" for target, count in sorted(targets.items())),
        *(f"  {count:5}  {end}" for end, count in found["ends"].items()),
        f"  {provider['charge']:5}  charges; {_counts(provider, 'authorize', 'capture', 'release', 'refund')}",
        f"  {sum(found['refunds'].values()):5}  requests of partial refunds: "
        + _counts(found["refunds"], *found["refunds"]),
        f"  {found['events'][EventKind.HELD]:5}  holds, {found['events'][EventKind.PAYMENT_RETRIED]} payments retried",
        f"  {found['parcels']:5}  parcels",
        *(f"  not settled in {where}: {', '.join(names[:_SHOWN])}" for where, names in run["unsettled"].items()),
        "",
    ]
    for promise in found["promises"]:
        broken = promise["broken"]
        verdict = f"{len(broken)} BROKEN" if broken else "kept"
        lines.append(f"  {promise['cases']:5}  {verdict:9}  {promise['promise']}")
        lines += [f"                     {one}" for one in broken[:_SHOWN]]
    return "\n".join(lines)


def _counts(found: Mapping[str, int], *names: str) -> str:
    return ", ".join(f"{found[name]} {name}" for name in names)


def no_violation(found: dict[str, Any]) -> bool:
    """Return whether no promise is broken."""
    return not any(promise["broken"] for promise in found["promises"])


def write(found: dict[str, Any], path: Path) -> None:
    """Write the figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")
