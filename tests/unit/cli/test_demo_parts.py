"""The demo: its watch of kubectl, its checks, its output and its errors."""

from __future__ import annotations

import io
import json
import os
import signal
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest
import yaml
from rich.console import Console

from orderfleet.cli.errors import Failed
from orderfleet.cli.plugin import WatchEvent, watch_events
from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.status import Step
from orderfleet.providers.carriers.simulated import BookedParcel
from orderfleet.providers.payments.simulated_entries import PaymentEntry
from orderfleet_local.demo import environment as demo_environment
from orderfleet_local.demo import runner
from orderfleet_local.demo.checks import (
    Facts,
    charge_was_looked_up,
    charged,
    every_failed_attempt_recorded,
    parcels,
    status_is,
)
from orderfleet_local.demo.command import Choice
from orderfleet_local.demo.environment import DemoEnvironment, overridden
from orderfleet_local.demo.scenarios import SCENARIOS
from orderfleet_local.demo.view import View, Watch, watching
from orderfleet_local.stack import paths
from orderfleet_local.stack.state import Condition, PartStatus

SAMPLE = paths.checkout() / "deploy" / "samples" / "order.yaml"
PAYMENT = {"amount": "9", "currency": "USD", "status": "CHARGED"}
SHIPPED = {"step": "shipped", "ended": True, "trackingNumber": "T1", "payment": PAYMENT}
CHARGE = PaymentEntry("charge", "pay-x", "x", Decimal("9.00"), "USD", "ch_1")
PARCEL = BookedParcel("ship-x", "x", "shipping-x-1", '{"street": "1 Main St"}', "T1", voided=False)


class Kubectl:
    """Watches the given statuses, and keeps its calls."""

    def __init__(self, *statuses):
        self.statuses = statuses
        self.calls = []

    def apply(self, manifest, file):
        self.calls.append(("apply", manifest, file))

    def patch(self, name, spec):
        self.calls.append(("patch", name, spec))

    def status(self, name):
        assert name == "demo-x"
        return self.statuses[-1]

    @contextmanager
    def watch(self, name):
        assert name == "demo-x"
        watch = Watch()
        for status in self.statuses:
            watch.statuses.put(status)
        yield watch


@pytest.fixture
def environment(tmp_path):
    (tmp_path / "logs").mkdir()
    for part in ("operator", "orders-worker", "shipping-worker"):
        (tmp_path / "logs" / f"{part}.log").write_text(f"last line of {part}\n")
    return DemoEnvironment(
        SimpleNamespace(folder=tmp_path, logs=tmp_path / "logs", kubeconfig=tmp_path / "kubeconfig"), started=True
    )


def run_happy(environment, monkeypatch, *statuses, payments=(CHARGE,), parcels=(PARCEL,)):
    kubectl, out = Kubectl(*statuses), io.StringIO()
    monkeypatch.setattr(runner, "Kubectl", lambda *_: kubectl)
    facts = Facts(statuses[-1], [], 1, payments, parcels)
    monkeypatch.setattr(runner, "gather_facts", lambda *_: facts)
    monkeypatch.setattr(runner, "_CHECK_TIMEOUT", 0)
    monkeypatch.setattr(runner, "_TIMEOUT", 0)
    with View(Console(file=out, width=200), "demo-x") as view:
        found = runner.run_scenario(SCENARIOS["happy"], environment, SAMPLE, view, "demo-x", "manifest", "order.yaml")
    return kubectl.calls, out.getvalue(), found


def test_run_scenario_applies_approves_follows_and_checks(environment, monkeypatch):
    statuses = ({}, {"step": "receive"}, {"step": "manual_review"}, {"step": "charge"}, SHIPPED)
    calls, shown, found = run_happy(environment, monkeypatch, *statuses)
    assert calls == [("apply", "manifest", "order.yaml"), ("patch", "demo-x", {"approved": True})]
    assert [line.split()[2] for line in shown.splitlines()] == ["receive", "manual_review", "charge", "shipped"]
    assert "waits for approval" in shown
    assert "tracking number T1" in shown
    assert all(finding.passed for finding in found)


def test_run_scenario_with_a_failed_order_reports_failed_checks(environment, monkeypatch):
    statuses = ({"step": "manual_review"}, {"step": "failed", "ended": True, "lastError": "no money"})
    _, shown, found = run_happy(environment, monkeypatch, *statuses, payments=(), parcels=())
    assert "no money" in shown
    assert [finding.passed for finding in found] == [False, False, False]


@pytest.mark.parametrize(
    ("statuses", "problem", "part"),
    [
        ([{}], "was not manual_review", "operator"),
        ([{"step": "receive"}], "it is receive", "orders-worker"),
        ([{"step": "manual_review"}, {"step": "charge"}], "was not canceled or delivered", "orders-worker"),
        ([{"step": "manual_review"}, {"step": "shipping"}], "it is shipping", "shipping-worker"),
    ],
)
def test_run_scenario_timeout_names_the_responsible_part_with_its_log(
    environment, monkeypatch, statuses, problem, part
):
    with pytest.raises(Failed) as caught:
        run_happy(environment, monkeypatch, *statuses)
    message = str(caught.value)
    assert problem in message
    assert f"{part} is responsible; its log ends:\nlast line of {part}" in message


def test_run_scenario_timeout_names_parts_that_are_down(environment, monkeypatch):
    parts = [PartStatus("orders-worker", Condition.STOPPED), PartStatus("operator", Condition.RUNNING)]
    monkeypatch.setattr(demo_environment, "inspect", lambda _folder: parts)
    with pytest.raises(Failed, match="orders-worker is stopped; its log ends:\nlast line of orders-worker"):
        run_happy(environment, monkeypatch, {})


def test_order_for_has_a_new_name_and_the_fields_of_the_scenario():
    first, second = (runner.order_for(SCENARIOS["review-timeout"], SAMPLE) for _ in range(2))
    assert first[0] != second[0]
    sample, made = yaml.safe_load(SAMPLE.read_text()), yaml.safe_load(first[1])
    assert made["metadata"]["name"] == first[0]
    assert made["spec"]["review"]["timeout"] == "2s"
    assert made["spec"]["items"] == sample["spec"]["items"]


def test_choices_are_the_scenarios_and_all():
    assert [*SCENARIOS, "all"] == list(Choice)


@pytest.mark.parametrize(
    ("check", "passed"),
    [
        (status_is(Step.SHIPPED, trackingNumber="T1"), True),
        (status_is(Step.SHIPPED, trackingNumber="T2"), False),
        (status_is(Step.CANCELED), False),
        (charged(1), False),
        (charged(2), True),
        (charged(1, refunded=1), False),
        (charged(0), False),
        (parcels(1), True),
        (parcels(0), False),
        (parcels(1, street="1 Main St"), True),
        (parcels(1, street="2 Side St"), False),
        (charge_was_looked_up, False),
        (every_failed_attempt_recorded, False),
    ],
)
def test_check_of_a_double_charge_passes_or_fails(check, passed):
    """The order was charged twice without a look-up; its failed attempt is in the audit trail but not in Kubernetes."""
    detail = {"activity": "charge", "attempt": 1, "error": "x"}
    failed = RecordedEvent(id=1, kind=EventKind.ATTEMPT_FAILED, step=Step.CHARGE, at=datetime.now(UTC), detail=detail)
    found = check(Facts(SHIPPED, [failed], 0, [CHARGE, CHARGE], [PARCEL]))
    assert found.passed == passed
    assert found.text


def _event(kind, status):
    return json.dumps({"type": kind, "object": {"status": status} if status else {"metadata": {}}}) + "\n"


def test_watch_events_skips_an_incomplete_line():
    stream = io.StringIO(_event("ADDED", {"step": "receive"}) + _event("DELETED", {}) + '{"type": "cut')
    assert list(watch_events(stream)) == [
        WatchEvent({"status": {"step": "receive"}}, deleted=False),
        WatchEvent({"metadata": {}}, deleted=True),
    ]


def _kubectl(folder, *runs):
    """Return a program that prints the next of these texts on each run; then the last on every run."""
    for number, text in enumerate(runs):
        (folder / f"{number}.txt").write_text(text)
    program = folder / "kubectl"
    program.write_text(
        f"""#!/bin/sh
cd {folder}
number=$(cat number 2>/dev/null || echo 0)
[ -e $((number + 1)).txt ] && echo $((number + 1)) > number
cat $number.txt
[ -s $number.txt ] || echo "the server went away" >&2
"""
    )
    program.chmod(0o755)
    return [str(program)]


def test_watching_restarts_kubectl_when_it_ends(tmp_path):
    documents = [_event("ADDED", {"step": step}) for step in ("receive", "manual_review")]
    with watching(_kubectl(tmp_path, documents[0], "", documents[1])) as watch:
        seen = []
        found = watch.wait_for(lambda status: status.get("step") == "manual_review", 60, seen.append)
    assert found == {"step": "manual_review"}
    assert {"step": "receive"} in seen


def test_watching_without_events_keeps_kubectls_error(environment, tmp_path, monkeypatch):
    with watching(_kubectl(tmp_path, "")) as watch:
        assert watch.wait_for(lambda _: bool(watch.error), 60, list) is not None
    assert watch.error == "the server went away"

    kubectl = Kubectl({"step": "receive"})
    run = runner.ScenarioRun(environment, kubectl, SimpleNamespace(status=list), None, "demo-x", watch)
    monkeypatch.setattr(runner, "_TIMEOUT", 0)
    with pytest.raises(Failed, match=r"printed nothing: the server went away\), but kubectl get returns receive"):
        run.wait_for_status(lambda status: status.get("step") == "receive", "receive")


def test_view_on_a_terminal_ends_with_the_last_status():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=40, color_system=None)
    with View(console, "demo-x") as view:
        view.command("kubectl apply")
        for status in ({"step": "manual_review"}, {"step": "shipping", "approved": True}, SHIPPED):
            view.status(status)
    last = out.getvalue().split("Order demo-x")[-1]
    assert last.count("✓") == 6
    assert "9 USD CHARGED" in last
    assert "T1" in last


def test_view_shows_each_number_of_failed_attempts_once():
    out = io.StringIO()
    with View(Console(file=out, width=200), "demo-x") as view:
        view.note("restarting charge")
        for retries in ({}, {"charge": 1}, {"charge": 1}, {"charge": 2}):
            view.status({"step": "charge", "retries": retries, "lastError": "[boom]"})
    assert out.getvalue().count("failed attempts: charge") == 2
    assert "failed attempts: charge 2; last error: [boom]" in out.getvalue()
    assert "- restarting charge" in out.getvalue()


def test_sigterm_interrupts_a_demo(environment):
    with pytest.raises(KeyboardInterrupt), overridden(environment, lambda _text: None):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_view_on_a_terminal_shows_why_an_order_was_canceled():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=40, color_system=None)
    with View(console, "demo-x") as view:
        view.status({"step": "manual_review"})
        view.status({"step": "canceled", "cancelReason": "ordered twice"})
    last = out.getvalue().split("Order demo-x")[-1]
    assert last.count("✓") == 1
    assert "ordered twice" in last
