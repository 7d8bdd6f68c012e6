"""`orderfleet order` against a service that returns the test's answers."""

from __future__ import annotations

import io
import json
import re
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import yaml
from typer.testing import CliRunner

from orderfleet.cli import plugin
from orderfleet.cli.address_options import ADDRESS_FIELDS
from orderfleet.cli.order import session
from orderfleet.domain.errors import PaymentConflict
from orderfleet.domain.events import EventKind, RecordedEvent
from orderfleet.domain.order import Address
from orderfleet.domain.status import PaymentStatus, PaymentView, ShipmentStatus, ShipmentView, Step
from orderfleet.services.errors import (
    ChangeResult,
    OrderEnded,
    OrderNotFound,
    Source,
    SourcedStatus,
    Started,
    StartOutcome,
)
from orderfleet.services.workflow_client import Change
from orderfleet.settings import Settings
from orderfleet_local.stack import paths
from support.factories import ADDRESS

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


class FakeOrders:
    """Keeps the arguments of its calls."""

    def __init__(self):
        self.calls = []
        self.answer = ChangeResult.ACCEPTED

    async def start(self, order):
        self.calls.append(order)
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

    async def change(self, order_id, change, *, request_id=""):
        if order_id == "over":
            raise OrderEnded("order 'over' has ended: shipped")
        self.calls.append((order_id, change))
        return self.answer


@pytest.fixture
def orders(monkeypatch):
    fake = FakeOrders()

    @asynccontextmanager
    async def opened(_settings):
        yield SimpleNamespace(orders=fake, inspector=fake)

    monkeypatch.setattr(session, "connect", opened)
    return fake


@pytest.fixture
def samples(monkeypatch):
    monkeypatch.setattr(session, "local_settings", lambda: Settings(sample_orders=True))


def test_start_without_ids_generates_and_prints_them(orderfleet, orders, samples):
    result = orderfleet("order", "start")
    assert result.code == 0
    (order,) = orders.calls
    assert order.order_id.startswith("ord-")
    assert f"pay-{order.order_id}" in result.out
    assert f"orderfleet order approve {order.order_id}" in result.out


@pytest.mark.parametrize("terms", [{"approved": True}, {"review": {"mode": "auto"}}])
def test_start_of_an_approved_order_suggests_its_status(orderfleet, orders, tmp_path, terms):
    manifest = yaml.safe_load(MANIFEST.read_text())
    manifest["spec"].update(terms)
    file = tmp_path / "order.yaml"
    file.write_text(yaml.safe_dump(manifest))
    result = orderfleet("order", "start", "-f", str(file))
    assert result.code == 0
    assert "approve" not in result.out
    assert "orderfleet order status demo-1" in result.out


def test_start_with_ids_prints_json(orderfleet, orders, samples):
    result = orderfleet("order", "start", "ord-7", "paid-7", "-o", "json")
    assert json.loads(result.out) == {
        "order_id": "ord-7",
        "workflow_id": "order-ord-7",
        "run_id": "r",
        "outcome": "started",
        "payment_id": "paid-7",
    }


def test_start_without_items_names_the_missing_field(orderfleet, orders):
    result = orderfleet("order", "start")
    assert result.code == 2
    assert result.err.splitlines() == [
        "orderfleet: items: is missing; give it",
        "orderfleet: address: is missing; give it",
    ]


def test_start_accepts_a_manifest_for_kubectl(orderfleet, orders):
    result = orderfleet("order", "start", "-f", str(MANIFEST), "-o", "json")
    assert result.code == 0, result.err
    (order,) = orders.calls
    assert order.order_id == "demo-1"
    assert order.amount == 4125
    assert order.customer.name == "Ada Lovelace"


def test_start_takes_a_reference_and_adjustments(orderfleet, orders):
    options = ["--reference", "#1001", "--adjustment", "shipping=4.90", "--adjustment", "discount=-1.25:spring: 3 %"]
    result = orderfleet("order", "start", "-f", str(MANIFEST), *options)
    assert result.code == 0, result.err
    (order,) = orders.calls
    assert order.reference == "#1001"
    assert [(each.kind, str(each.amount), each.description) for each in order.adjustments] == [
        ("shipping", "4.90", ""),
        ("discount", "-1.25", "spring: 3 %"),
    ]
    assert order.amount == 4490


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--adjustment", "shipping"], "'shipping' has no amount; write KIND=AMOUNT, such as shipping=4.90"),
        (["--adjustment", "bonus=1"], "adjustments[0].kind: input should be 'shipping', 'tax', 'discount' or 'fee'"),
        (["--adjustment", "tax=much"], "adjustments[0].amount: is not a decimal number"),
        (["--adjustment", "tax=0.125"], "adjustments[0].amount: has 3 decimals, USD has 2; round it"),
        (["--reference", "x" * 256], "reference: has more than 255 characters; write less"),
    ],
)
def test_start_with_invalid_reference_or_adjustment_names_it(orderfleet, orders, options, message):
    result = orderfleet("order", "start", "-f", str(MANIFEST), *options)
    assert result.code == 2
    assert message in re.sub(r"\W*\n\W*", " ", result.err)
    assert not orders.calls


def test_start_with_an_item_called_shipping_names_its_id(orderfleet, orders, tmp_path):
    file = tmp_path / "order.yaml"
    items = "[{id: shipping, sku: a, qty: 1, price: '1.00'}]"
    file.write_text(f"{HEAD}spec:\n  items: {items}\n  address: {{street: a, city: b}}")
    result = orderfleet("order", "start", "-f", str(file))
    assert result.code == 2
    assert "items[0].id: 'shipping' is the line of the shipping costs; choose another id" in result.err
    assert not orders.calls


@pytest.mark.parametrize("sample", sorted(MANIFEST.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_start_accepts_every_sample_or_says_what_to_do(orderfleet, orders, sample):
    result = orderfleet("order", "start", "-f", str(sample))
    if "cancel: true" in sample.read_text():
        assert result.code == 2
        assert "orderfleet order cancel" in result.err
    else:
        assert result.code == 0, result.err
        assert len(orders.calls) == 1


def test_start_reads_manifests_from_standard_input(orderfleet, orders, monkeypatch):
    twice = MANIFEST.read_text().replace("demo-1", "a") + "\n---\n" + MANIFEST.read_text().replace("demo-1", "b")
    monkeypatch.setattr(sys, "stdin", io.StringIO(twice))
    assert orderfleet("order", "start", "-f", "-").code == 0
    assert [order.order_id for order in orders.calls] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; give an Order"),
        ("a: [", "is not YAML"),
        ("kind: Order", "expected apiVersion: orderfleet.dev/v1alpha1 and kind: Order"),
        ("[]", "expected apiVersion"),
        ("apiVersion: orderfleet.dev/v1alpha1\nkind: Order", "spec: is missing"),
        (f"{HEAD}spec:\n  items: [{{sku: a, qty: x}}]", "spec.items[0].qty: is not a whole number"),
        (f"{HEAD}spec:\n  color: red", "spec.color: is not known; `kubectl explain"),
        (f"{HEAD}spec:\n  paymentID: p", "spec.paymentID: is not known; did you mean paymentId?"),
        (
            f"{HEAD}spec:\n  items: [{{sku: a, qty: 1, unit_price: '499.00'}}]",
            "spec.items[0].unit_price: is not known; did you mean price?",
        ),
        (f"{HEAD}spec:\n  address: {{stret: x}}", "spec.address.stret: is not known; did you mean street?"),
        (f"{HEAD}spec:\n  items: [{{sku: a, qty: 1, qty: 2}}]", "the key 'qty' is given twice"),
        (
            f"{HEAD}spec:\n  customer: {{email: a@example.com}}\n  customer_email: b@example.com",
            "spec.customer_email: differs from customer.email; give only one of them",
        ),
        (
            f"{HEAD}spec:\n  payment_id: pay-1\n  paymentId: pay-2",
            "spec.payment_id: is another name of paymentId, which is given too; give only one of them",
        ),
        (
            f"{HEAD}spec:\n  review: {{onTimeout: cancel, on_timeout: approve}}",
            "spec.review.onTimeout: is another name of on_timeout, which is given too; give only one of them",
        ),
        (f"{HEAD}spec: {{}}\nspce: {{}}", "spce: is not known"),
        (f"{HEAD}spec: " + "[" * 2000, "nested too deep"),
        (
            f"{HEAD}spec:\n  customer: {{email: {'x' * 321}}}",
            "spec.customer.email: has more than 320 characters; write less",
        ),
    ],
)
def test_start_with_an_invalid_manifest_names_the_field(orderfleet, orders, tmp_path, text, message):
    file = tmp_path / "order.yaml"
    file.write_text(text)
    result = orderfleet("order", "start", "-f", str(file))
    assert result.code == 2
    assert message in result.err
    assert str(file) in result.err
    assert not orders.calls


def test_start_with_the_payment_id_of_another_order_is_rejected(orderfleet, orders, samples, monkeypatch):
    async def reject(order):
        raise PaymentConflict(f"payment id {order.payment_id!r} belongs to another order; choose another payment id")

    monkeypatch.setattr(orders, "start", reject)
    result = orderfleet("order", "start", "ord-7", "paid-7")
    assert result.code == 4
    assert result.err == "orderfleet: payment id 'paid-7' belongs to another order; choose another payment id\n"


def test_start_with_a_missing_file_prints_one_line(orderfleet, orders):
    result = orderfleet("order", "start", "-f", "/no/such.yaml")
    assert (result.code, result.err) == (2, "orderfleet: can't read /no/such.yaml: No such file or directory\n")


def test_status_prints_a_table_or_json(orderfleet, orders):
    table = orderfleet("order", "status", "ord-1")
    assert table.code == 0
    for part in ("shipped", "pay-ord-1  CHARGED  9.99 USD", "1 Main St, Springfield", "T1", "charge 2", "the workflow"):
        assert part in table.out
    assert re.search(r"^source +the workflow$", table.out.rstrip(), re.MULTILINE)
    assert "canceled" not in table.out
    assert json.loads(orderfleet("order", "status", "ord-1", "-o", "json").out)["step"] == "shipped"


def test_events_prints_a_line_for_each(orderfleet, orders):
    result = orderfleet("order", "events", "ord-1")
    assert "charged" in result.out
    assert "amount=9.99  payment=pay-ord-1" in result.out
    assert "nothing" not in result.out
    assert json.loads(orderfleet("order", "events", "ord-1", "-o", "json").out)[0]["kind"] == "charged"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["status", "nope"], 3, "there is no order 'nope'; `orderfleet order list` lists the orders"),
        (["history", "nope"], 3, "there is no order 'nope'; `orderfleet order list` lists the orders"),
        (
            ["history", "ord-1"],
            1,
            "Temporal has no history of order 'ord-1' any more; `orderfleet order events ord-1` is its audit trail",
        ),
        (["approve", "over"], 4, "order 'over' has ended: shipped"),
    ],
)
def test_error_prints_one_line_and_sets_the_exit_status(orderfleet, orders, arguments, code, message):
    result = orderfleet("order", *arguments)
    assert (result.code, result.err) == (code, f"orderfleet: {message}\n")


def test_change_prints_whether_it_was_accepted_or_queued(orderfleet, orders):
    assert orderfleet("order", "approve", "ord-1").out == "order ord-1 is approved\n"
    orders.answer = ChangeResult.QUEUED
    result = orderfleet("order", "cancel", "ord-1", "--reason", "ordered twice")
    assert result.code == 0
    assert "no worker answered" in result.out
    assert orders.calls[-1] == ("ord-1", Change.cancel("ordered twice"))
    assert json.loads(orderfleet("order", "approve", "ord-1", "-o", "json").out) == {
        "order_id": "ord-1",
        "result": "queued",
    }


def test_update_address_keeps_parts_left_out(orderfleet, orders):
    assert orderfleet("order", "update-address", "ord-1", "--street", "1 New Road", "--zip", "1").code == 0
    moved = ADDRESS.model_copy(update={"street": "1 New Road", "zip": "1"})
    assert orders.calls == [("ord-1", Change.update_address(moved))]


def test_address_options_cover_each_field_of_the_address_once():
    assert sorted(ADDRESS_FIELDS) == sorted(Address.model_fields)


def test_update_address_of_the_plugin_patches_only_the_given_parts(monkeypatch):
    patches = []
    monkeypatch.setattr(plugin, "_change", lambda target, spec, *_: patches.append((target.name, spec)))
    result = CliRunner().invoke(plugin.app, ["address", "demo-1", "--zip", "1", "--street", "1 New Road"])
    assert result.exit_code == 0
    second_names = {"line1": None, "postal_code": None}
    assert patches == [("demo-1", {"address": {"street": "1 New Road", "zip": "1", **second_names}})]


def test_update_address_of_the_plugin_removes_a_cleared_part(monkeypatch):
    patches = []
    monkeypatch.setattr(plugin, "_change", lambda _target, spec, *_: patches.append(spec))
    assert CliRunner().invoke(plugin.app, ["address", "demo-1", "--street2", "", "--name", "Ada"]).exit_code == 0
    assert patches == [{"address": {"street2": None, "line2": None, "name": "Ada"}}]
