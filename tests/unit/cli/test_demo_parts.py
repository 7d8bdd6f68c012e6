"""The demo's parts: what it shows, how it reads kubectl's stream, and what it says when it fails."""

from __future__ import annotations

import io
import queue
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import yaml
from rich.console import Console

from orderfleet.cli.demo import stage as stages
from orderfleet.cli.demo.happy import Happy, order_named
from orderfleet.cli.demo.kubectl import Watch, _read
from orderfleet.cli.demo.stage import Stage
from orderfleet.cli.demo.view import View
from orderfleet.cli.exits import Failed
from orderfleet.stack import paths
from orderfleet.stack.status import Condition, PartStatus

SAMPLE = paths.checkout() / "deploy" / "samples" / "order.yaml"
PAYMENT = {"amount": "9", "currency": "USD", "status": "CHARGED"}
SHIPPED = {"step": "shipped", "trackingNumber": "T1", "payment": PAYMENT}


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
        watch.told.put(None)
        yield watch


@pytest.fixture
def stage(tmp_path):
    (tmp_path / "logs").mkdir()
    for part in ("operator", "orders-worker", "shipping-worker"):
        (tmp_path / "logs" / f"{part}.log").write_text(f"last words of {part}\n")
    return Stage(SimpleNamespace(folder=tmp_path, logs=tmp_path / "logs"), started=True)


def play(stage, *statuses):
    kubectl, out = Kubectl(*statuses), io.StringIO()
    with View(Console(file=out, width=200), "demo-x") as view:
        Happy(stage, kubectl, view, "demo-x", "manifest", "order.yaml").play()
    return kubectl.did, out.getvalue()


def test_order_is_applied_approved_and_followed(stage):
    did, shown = play(stage, {}, {"step": "receive"}, {"step": "manual_review"}, {"step": "charge"}, SHIPPED)
    assert did == [("apply", "manifest", "order.yaml"), ("patch", "demo-x", {"approved": True})]
    assert [line.split()[2] for line in shown.splitlines()] == ["receive", "manual_review", "charge", "shipped"]
    assert "waits for approval" in shown
    assert "tracking number T1" in shown


@pytest.mark.parametrize(
    ("statuses", "said", "part"),
    [
        ([{}], "did not say manual_review", "operator"),
        ([{"step": "receive"}], "it says receive", "orders-worker"),
        ([{"step": "manual_review"}, {"step": "charge"}], "did not say shipped", "orders-worker"),
        ([{"step": "manual_review"}, {"step": "shipping"}], "did not say shipped", "shipping-worker"),
        ([{"step": "failed", "lastError": "no money"}], "the order is failed: no money", "orders-worker"),
    ],
)
def test_failure_names_the_part_and_shows_the_end_of_its_log(stage, statuses, said, part):
    with pytest.raises(Failed) as caught:
        play(stage, *statuses)
    told = str(caught.value)
    assert said in told
    assert f"{part} should have done it; its log ends:\nlast words of {part}" in told


def test_failure_names_the_parts_that_are_down(stage, monkeypatch):
    parts = [PartStatus("orders-worker", Condition.STOPPED), PartStatus("operator", Condition.RUNNING)]
    monkeypatch.setattr(stages, "inspect", lambda _folder: parts)
    with pytest.raises(Failed, match="orders-worker is stopped; its log ends:\nlast words of orders-worker"):
        play(stage, {})


def test_each_run_has_an_order_id_of_its_own():
    first, second = (order_named(SAMPLE, "happy") for _ in range(2))
    assert first[0] != second[0]
    sample, made = yaml.safe_load(SAMPLE.read_text()), yaml.safe_load(first[1])
    assert made["metadata"]["name"] == first[0]
    assert made["spec"] == sample["spec"]


def test_stream_of_documents_is_split():
    told = queue.Queue()
    _read(io.StringIO('{\n  "status": {\n    "step": "receive"\n  }\n}\n{\n  "metadata": {}\n}\n'), told)
    assert [told.get() for _ in range(3)] == [{"step": "receive"}, {}, None]


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


def test_terminal_shows_why_an_order_went_off_its_way():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, height=40, color_system=None)
    with View(console, "demo-x") as view:
        view.status({"step": "manual_review"})
        view.status({"step": "canceled", "cancelReason": "ordered twice"})
    last = out.getvalue().split("Order demo-x")[-1]
    assert last.count("✓") == 1
    assert "ordered twice" in last
