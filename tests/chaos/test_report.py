"""The report of a chaos run shows each broken promise with its violations, as text and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from chaos.promises import promises
from chaos.report import document, no_violation, text, write
from chaos.schedule import fault_groups
from chaos.storm import Run, Size, environment
from chaos.valid_evidence import CANCELED, parcel, valid_evidence
from orderfleet.temporal.faults import parse_faults


def _run() -> Run:
    faults = [fault for fault_group in fault_groups(7, 16, 60) for fault in fault_group.faults]
    return Run(Size(orders=60, faults=16, seed=7), faults_applied=faults)


def test_report_of_a_kept_promise_shows_its_cases() -> None:
    evidence = valid_evidence()
    found = document(_run(), evidence, promises(evidence))
    assert no_violation(found)
    assert "seed 7: 60 orders, 16 faults" in text(found)
    assert "7  kept       each accepted order reached an end" in text(found)
    assert "4  charges; 2 authorize, 1 capture, 1 release, 4 refund" in text(found)
    assert "3  requests of partial refunds: 2 accepted, 1 rejected" in text(found)


def test_report_of_a_broken_promise_shows_its_violations(tmp_path: Path) -> None:
    evidence = valid_evidence()
    evidence.parcels.append(parcel(CANCELED))  # type: ignore[attr-defined]
    found = document(_run(), evidence, promises(evidence))
    write(found, tmp_path / "deep" / "chaos.json")
    assert not no_violation(found)
    assert "1 BROKEN" in text(found)
    assert f"{CANCELED}: canceled with 1 parcels" in text(found)
    read = json.loads((tmp_path / "deep" / "chaos.json").read_text())
    assert read == found
    assert read["run"]["faults"] == 16


def test_environment_of_a_seed_sets_the_seed_of_injected_faults() -> None:
    plan = parse_faults(environment(7)["ORDERFLEET_FAULTS"])
    assert plan.seed == 7
    assert {"charge", "dispatch_carrier", "refund"} <= plan.by_step.keys()
