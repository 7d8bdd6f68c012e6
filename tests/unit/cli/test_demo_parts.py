"""The demo's parts: what it shows, how it reads kubectl's stream, and what it says when it fails."""

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
from orderfleet.providers.payments.simulated import PaymentEntry
from orderfleet_local.demo import environment as stages
from orderfleet_local.demo import runner as playing
from orderfleet_local.demo.checks import (
    Facts,
    asked_to_charge_again,
    charged,
    every_attempt_told,
    kubernetes_says,
    parcels,
)
from orderfleet_local.demo.command import Choice
from orderfleet_local.demo.environment import DemoEnvironment, overridden
from orderfleet_local.demo.scenarios import SCENARIOS
from orderfleet_local.demo.view import View, Watch, watching
from orderfleet_local.stack import paths
from orderfleet_local.stack.status import Condition, PartStatus

SAMPLE = paths.checkout() / "deploy" / "samples" / "order.yaml"
PAYMENT = {"amount": "9", "currency": "USD", "status": "CHARGED"}
SHIPPED = {"step": "shipped", "ended": True, "trackingNumber": "T1", "payment": PAYMENT}
CHARGE = PaymentEntry("charge", "pay-x", "x", Decimal("9.00"), "USD", "ch_1")
PARCEL = BookedParcel("ship-x", "x", "shipping-x-1", '{"street": "1 Main St"}', "T1", voided=False)


class Kubectl:
    """Tells the statuses it was given, then nothing more."""

    def __init__(self, *statuses):
        self.statuses = statuses
        self.did = []

    def apply(self, manifest, shown):
        self.did.append(("apply", manifest, shown))

    def patch(self, name, spec):
        self.did.append(("patch", name, spec))

    def status(self, name):
        assert name == "demo-x"
        return self.statuses[-1]

    @contextmanager
    def watch(self, name):
        assert name == "demo-x"
        watch = Watch()
        for status in self.statuses:
            watch.told.put(status)
        yield watch


@pytest.fixture
def stage(tmp_path):
    (tmp_path / "logs").mkdir()
    for part in ("operator", "orders-worker", "shipping-worker"):
        (tmp_path / "logs" / f"{part}.log").write_text(f"last words of {part}\n")
    return DemoEnvironment(
        SimpleNamespace(folder=tmp_path, logs=tmp_path / "logs", kubeconfig=tmp_path / "kubeconfig"), started=True
    )


def play(stage, monkeypatch, *statuses, money=(CHARGE,), taken=(PARCEL,)):
    kubectl, out = Kubectl(*statuses), io.StringIO()
    monkeypatch.setattr(playing, "Kubectl", lambda *_: kubectl)
    facts = Facts(statuses[-1], [], 1, money, taken)
    monkeypatch.setattr(playing, "gather", lambda *_: facts)
    monkeypatch.setattr(playing, "_JUDGE_SECONDS", 0)
    monkeypatch.setattr(playing, "_SECONDS", 0)
    with View(Console(file=out, width=200), "demo-x") as view:
        found = playing.play(SCENARIOS["happy"], stage, SAMPLE, view, "demo-x", "manifest", "order.yaml")
    return kubectl.did, out.getvalue(), found


def test_order_is_applied_approved_followed_and_judged(stage, monkeypatch):
    statuses = ({}, {"step": "receive"}, {"step": "manual_review"}, {"step": "charge"}, SHIPPED)
    did, shown, found = play(stage, monkeypatch, *statuses)
    assert did == [("apply", "manifest", "order.yaml"), ("patch", "demo-x", {"approved": True})]
    assert [line.split()[2] for line in shown.splitlines()] == ["receive", "manual_review", "charge", "shipped"]
    assert "waits for approval" in shown
    assert "tracking number T1" in shown
    assert all(finding.fine for finding in found)


def test_what_is_not_as_it_should_be_is_found(stage, monkeypatch):
    statuses = ({"step": "manual_review"}, {"step": "failed", "ended": True, "lastError": "no money"})
    _, shown, found = play(stage, monkeypatch, *statuses, money=(), taken=())
    assert "no money" in shown
    assert [finding.fine for finding in found] == [False, False, False]


@pytest.mark.parametrize(
    ("statuses", "said", "part"),
    [
        ([{}], "did not say manual_review", "operator"),
        ([{"step": "receive"}], "it says receive", "orders-worker"),
        ([{"step": "manual_review"}, {"step": "charge"}], "did not say canceled or delivered", "orders-worker"),
        ([{"step": "manual_review"}, {"step": "shipping"}], "it says shipping", "shipping-worker"),
    ],
)
def test_failure_names_the_part_and_shows_the_end_of_its_log(stage, monkeypatch, statuses, said, part):
    with pytest.raises(Failed) as caught:
        play(stage, monkeypatch, *statuses)
    told = str(caught.value)
    assert said in told
    assert f"{part} should have done it; its log ends:\nlast words of {part}" in told


def test_failure_names_the_parts_that_are_down(stage, monkeypatch):
    parts = [PartStatus("orders-worker", Condition.STOPPED), PartStatus("operator", Condition.RUNNING)]
    monkeypatch.setattr(stages, "inspect", lambda _folder: parts)
    with pytest.raises(Failed, match="orders-worker is stopped; its log ends:\nlast words of orders-worker"):
        play(stage, monkeypatch, {})


def test_each_run_has_an_order_id_of_its_own_and_what_its_scenario_wants():
    first, second = (playing.order_for(SCENARIOS["review-timeout"], SAMPLE) for _ in range(2))
    assert first[0] != second[0]
    sample, made = yaml.safe_load(SAMPLE.read_text()), yaml.safe_load(first[1])
    assert made["metadata"]["name"] == first[0]
    assert made["spec"]["review"]["timeout"] == "2s"
    assert made["spec"]["items"] == sample["spec"]["items"]


def test_every_scenario_can_be_asked_for():
    assert [*SCENARIOS, "all"] == list(Choice)


@pytest.mark.parametrize(
    ("check", "fine"),
    [
        (kubernetes_says(Step.SHIPPED, trackingNumber="T1"), True),
        (kubernetes_says(Step.SHIPPED, trackingNumber="T2"), False),
        (kubernetes_says(Step.CANCELED), False),
        (charged(1), False),
        (charged(2), True),
        (charged(1, given_back=1), False),
        (charged(0), False),
        (parcels(1), True),
        (parcels(0), False),
        (parcels(1, street="1 Main St"), True),
        (parcels(1, street="2 Side St"), False),
        (asked_to_charge_again(), False),
        (every_attempt_told(), False),
    ],
)
def test_checks_find_what_is_wrong(check, fine):
    """Of an order that was charged twice, whose failed attempt stands in the trail and not in Kubernetes."""
    detail = {"activity": "charge", "attempt": 1, "error": "x"}
    failed = RecordedEvent(id=1, kind=EventKind.ATTEMPT_FAILED, step=Step.CHARGE, at=datetime.now(UTC), detail=detail)
    found = check(Facts(SHIPPED, [failed], 1, [CHARGE, CHARGE], [PARCEL]))
    assert found.fine == fine
    assert found.text


def _event(kind, status):
    return json.dumps({"type": kind, "object": {"status": status} if status else {"metadata": {}}}) + "\n"


def test_stream_of_events_is_read():
    stream = io.StringIO(_event("ADDED", {"step": "receive"}) + _event("DELETED", {}) + '{"type": "cut')
    assert list(watch_events(stream)) == [
        WatchEvent({"status": {"step": "receive"}}, deleted=False),
        WatchEvent({"metadata": {}}, deleted=True),
    ]


def _kubectl(folder, *runs):
    """A program that prints the next of these on each run and ends; the last again and again."""
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


def test_watch_that_ends_is_begun_again(tmp_path):
    documents = [_event("ADDED", {"step": step}) for step in ("receive", "manual_review")]
    with watching(_kubectl(tmp_path, documents[0], "", documents[1])) as watch:
        seen = []
        found = watch.until(lambda status: status.get("step") == "manual_review", 60, seen.append)
    assert found == {"step": "manual_review"}
    assert {"step": "receive"} in seen


def test_watch_that_tells_nothing_says_why(stage, tmp_path, monkeypatch):
    with watching(_kubectl(tmp_path, "")) as watch:
        assert watch.until(lambda _: bool(watch.trouble), 60, list) is not None
    assert watch.trouble == "the server went away"

    kubectl = Kubectl({"step": "receive"})
    run = playing.Play(stage, kubectl, SimpleNamespace(status=list), None, "demo-x", watch)
    monkeypatch.setattr(playing, "_SECONDS", 0)
    with pytest.raises(Failed, match=r"told nothing: the server went away\), and asked again receive"):
        run.until(lambda status: status.get("step") == "receive", "receive")


def test_terminal_shows_a_table_that_ends_with_the_last_status():
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


def test_failed_attempts_are_shown_as_they_are_told():
    out = io.StringIO()
    with View(Console(file=out, width=200), "demo-x") as view:
        view.note("restarting charge")
        for retries in ({}, {"charge": 1}, {"charge": 1}, {"charge": 2}):
            view.status({"step": "charge", "retries": retries, "lastError": "[boom]"})
    assert out.getvalue().count("failed attempts: charge") == 2
    assert "failed attempts: charge 2; last error: [boom]" in out.getvalue()
    assert "- restarting charge" in out.getvalue()


def test_kill_ends_a_demo_as_ctrl_c_does(stage):
    with pytest.raises(KeyboardInterrupt), overridden(stage, lambda _text: None):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_terminal_shows_why_an_order_went_off_its_way():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=40, color_system=None)
    with View(console, "demo-x") as view:
        view.status({"step": "manual_review"})
        view.status({"step": "canceled", "cancelReason": "ordered twice"})
    last = out.getvalue().split("Order demo-x")[-1]
    assert last.count("✓") == 1
    assert "ordered twice" in last
