"""`orderfleet order` over a desk that answers what the test says."""

from __future__ import annotations

import io
import json
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import yaml

from orderfleet.cli import connection
from orderfleet.domain.errors import PaymentConflict
from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.order import Address
from orderfleet.domain.status import PaymentStatus, PaymentView, ShipmentStatus, ShipmentView, Step
from orderfleet.services.errors import ChangeResult, OrderEnded, OrderNotFound, Started, StartOutcome
from orderfleet.services.orders import Source, SourcedStatus
from orderfleet.settings import Settings
from orderfleet_local.stack import paths

ADDRESS = Address(street="1 Main St", city="Springfield", state="IL", zip="62701", country="US")
AT = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
STATUS = SourcedStatus(
    order_id="ord-1",
    workflow_id="order-ord-1",
    run_id="run",
    step=Step.SHIPPED,
    approved=True,
    address=ADDRESS,
    payment=PaymentView(id="pay-ord-1", status=PaymentStatus.CHARGED, amount="9.99", currency="USD"),
    shipments=(
        ShipmentView(id="shipping-ord-1-1", status=ShipmentStatus.DISPATCHED, carrier="c", tracking_number="T1"),
    ),
    retries={"charge": 2},
    created_at=AT,
    updated_at=AT,
    completed_at=AT,
    source=Source.WORKFLOW,
)
HEAD = "apiVersion: orderfleet.dev/v1alpha1\nkind: Order\n"
MANIFEST = paths.checkout() / "deploy" / "samples" / "order.yaml"


class Desk:
    """Remembers what it was asked."""

    def __init__(self):
        self.asked = []
        self.answer = ChangeResult.ACCEPTED

    async def start(self, order):
        self.asked.append(order)
        return Started(
            order_id=order.order_id, workflow_id=f"order-{order.order_id}", run_id="r", outcome=StartOutcome.STARTED
        )

    async def live(self, order_id):
        if order_id == "nope":
            raise OrderNotFound("there is no order 'nope'")
        return STATUS

    async def events(self, order_id):
        assert order_id == "ord-1"
        detail = {"amount": "9.99", "payment": "pay-ord-1", "nothing": None}
        return [RecordedEvent(id=1, kind=EventKind.CHARGED, step=Step.SHIPPING, at=AT, detail=detail)]

    async def recorded(self, order_id):
        return await self.live(order_id)

    async def history(self, order_id):
        raise OrderNotFound(f"there is no running workflow for order {order_id!r}")

    async def approve(self, order_id):
        if order_id == "over":
            raise OrderEnded("order 'over' has ended: shipped")
        return self.answer

    async def cancel(self, order_id, reason):
        self.asked.append((order_id, reason))
        return self.answer

    async def update_address(self, order_id, address):
        self.asked.append((order_id, address))
        return self.answer


@pytest.fixture
def desk(monkeypatch):
    made = Desk()

    @asynccontextmanager
    async def opened(_settings):
        yield SimpleNamespace(desk=made, inspector=made)

    monkeypatch.setattr(connection, "reach", opened)
    return made


@pytest.fixture
def samples(monkeypatch):
    monkeypatch.setattr(connection, "settings_here", lambda: Settings(sample_orders=True))


def test_start_makes_and_prints_the_ids(orderfleet, desk, samples):
    result = orderfleet("order", "start")
    assert result.code == 0
    (order,) = desk.asked
    assert order.order_id.startswith("ord-")
    assert f"pay-{order.order_id}" in result.out
    assert f"orderfleet order approve {order.order_id}" in result.out


@pytest.mark.parametrize("terms", [{"approved": True}, {"review": {"mode": "auto"}}])
def test_start_asks_for_no_approval_where_none_is_needed(orderfleet, desk, tmp_path, terms):
    manifest = yaml.safe_load(MANIFEST.read_text())
    manifest["spec"].update(terms)
    file = tmp_path / "order.yaml"
    file.write_text(yaml.safe_dump(manifest))
    result = orderfleet("order", "start", "-f", str(file))
    assert result.code == 0
    assert "approve" not in result.out
    assert "orderfleet order status demo-1" in result.out


def test_start_with_ids_prints_json_for_programs(orderfleet, desk, samples):
    result = orderfleet("order", "start", "ord-7", "paid-7", "-o", "json")
    assert json.loads(result.out) == {
        "order_id": "ord-7",
        "workflow_id": "order-ord-7",
        "run_id": "r",
        "outcome": "started",
        "payment_id": "paid-7",
    }


def test_start_without_items_names_what_is_missing(orderfleet, desk):
    result = orderfleet("order", "start")
    assert result.code == 2
    assert result.err.splitlines() == [
        "orderfleet: items: is missing; give it",
        "orderfleet: address: is missing; give it",
    ]


def test_start_takes_the_manifest_that_kubectl_takes(orderfleet, desk):
    result = orderfleet("order", "start", "-f", str(MANIFEST), "-o", "json")
    assert result.code == 0, result.err
    (order,) = desk.asked
    assert order.order_id == "demo-1"
    assert str(order.amount) == "41.25"
    assert order.customer.name == "Ada Lovelace"


@pytest.mark.parametrize("sample", sorted(MANIFEST.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_sample_is_taken_or_says_what_to_do(orderfleet, desk, sample):
    result = orderfleet("order", "start", "-f", str(sample))
    if "cancel: true" in sample.read_text():
        assert result.code == 2
        assert "orderfleet order cancel" in result.err
    else:
        assert result.code == 0, result.err
        assert len(desk.asked) == 1


def test_manifests_are_read_from_standard_input(orderfleet, desk, monkeypatch):
    twice = MANIFEST.read_text().replace("demo-1", "a") + "\n---\n" + MANIFEST.read_text().replace("demo-1", "b")
    monkeypatch.setattr(sys, "stdin", io.StringIO(twice))
    assert orderfleet("order", "start", "-f", "-").code == 0
    assert [order.order_id for order in desk.asked] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty; give an Order"),
        ("a: [", "is not YAML"),
        ("kind: Order", "expected apiVersion: orderfleet.dev/v1alpha1 and kind: Order"),
        ("[]", "expected apiVersion"),
        ("apiVersion: orderfleet.dev/v1alpha1\nkind: Order", "spec: is missing"),
        (f"{HEAD}spec:\n  items: [{{sku: a, qty: x}}]", "spec.items[0].qty: is not a whole number"),
        (f"{HEAD}spec:\n  colour: red", "spec.colour: is not known; `kubectl explain"),
        (f"{HEAD}spec:\n  paymentID: p", "spec.paymentID: is not known; did you mean paymentId?"),
        (
            f"{HEAD}spec:\n  items: [{{sku: a, qty: 1, unit_price: '499.00'}}]",
            "spec.items[0].unit_price: is not known; did you mean price?",
        ),
        (f"{HEAD}spec:\n  address: {{stret: x}}", "spec.address.stret: is not known; did you mean street?"),
        (f"{HEAD}spec:\n  items: [{{sku: a, qty: 1, qty: 2}}]", "the key 'qty' is given twice"),
        (f"{HEAD}spec: {{}}\nspce: {{}}", "spce: is not known"),
        (f"{HEAD}spec: " + "[" * 2000, "nested too deep"),
        (
            f"{HEAD}spec:\n  customer: {{email: {'x' * 321}}}",
            "spec.customer.email: has more than 320 characters; write less",
        ),
    ],
)
def test_wrong_manifest_names_the_place(orderfleet, desk, tmp_path, text, told):
    file = tmp_path / "order.yaml"
    file.write_text(text)
    result = orderfleet("order", "start", "-f", str(file))
    assert result.code == 2
    assert told in result.err
    assert str(file) in result.err
    assert not desk.asked


def test_start_with_the_payment_id_of_another_order_is_refused(orderfleet, desk, samples, monkeypatch):
    async def refuse(order):
        raise PaymentConflict(f"payment id {order.payment_id!r} belongs to another order; choose another payment id")

    monkeypatch.setattr(desk, "start", refuse)
    result = orderfleet("order", "start", "ord-7", "paid-7")
    assert result.code == 4
    assert result.err == "orderfleet: payment id 'paid-7' belongs to another order; choose another payment id\n"


def test_file_that_is_not_there_is_one_line(orderfleet, desk):
    result = orderfleet("order", "start", "-f", "/no/such.yaml")
    assert (result.code, result.err) == (2, "orderfleet: can't read /no/such.yaml: No such file or directory\n")


def test_status_is_a_table_or_json(orderfleet, desk):
    table = orderfleet("order", "status", "ord-1")
    assert table.code == 0
    for part in ("shipped", "pay-ord-1  CHARGED  9.99 USD", "1 Main St, Springfield", "T1", "charge 2", "the workflow"):
        assert part in table.out
    assert "canceled" not in table.out
    assert json.loads(orderfleet("order", "status", "ord-1", "-o", "json").out)["step"] == "shipped"


def test_events_are_a_line_each(orderfleet, desk):
    result = orderfleet("order", "events", "ord-1")
    assert "charged" in result.out
    assert "amount=9.99  payment=pay-ord-1" in result.out
    assert "nothing" not in result.out
    assert json.loads(orderfleet("order", "events", "ord-1", "-o", "json").out)[0]["kind"] == "charged"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["status", "nope"], 3, "there is no order 'nope'; `orderfleet order list` shows those there are"),
        (["history", "nope"], 3, "there is no order 'nope'; `orderfleet order list` shows those there are"),
        (
            ["history", "ord-1"],
            1,
            "Temporal has no history of order 'ord-1' any more; `orderfleet order events ord-1` is its audit trail",
        ),
        (["approve", "over"], 4, "order 'over' has ended: shipped"),
    ],
)
def test_errors_are_one_line_and_an_exit_status(orderfleet, desk, arguments, code, told):
    result = orderfleet("order", *arguments)
    assert (result.code, result.err) == (code, f"orderfleet: {told}\n")


def test_changes_say_whether_they_were_taken_or_queued(orderfleet, desk):
    assert orderfleet("order", "approve", "ord-1").out == "order ord-1 is approved\n"
    desk.answer = ChangeResult.QUEUED
    result = orderfleet("order", "cancel", "ord-1", "--reason", "ordered twice")
    assert result.code == 0
    assert "no worker answered" in result.out
    assert desk.asked == [("ord-1", "ordered twice")]
    assert json.loads(orderfleet("order", "approve", "ord-1", "-o", "json").out) == {
        "order_id": "ord-1",
        "result": "queued",
    }


def test_address_keeps_what_is_not_given(orderfleet, desk):
    assert orderfleet("order", "update-address", "ord-1", "--street", "1 New Road", "--zip", "1").code == 0
    assert desk.asked == [("ord-1", ADDRESS.model_copy(update={"street": "1 New Road", "zip": "1"}))]
