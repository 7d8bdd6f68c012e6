"""The API server rejects invalid Orders with a message that names the field and the remedy."""

from __future__ import annotations

import json

import pytest

from orderfleet.domain.order import ADDRESS_ALIASES, Address
from support.factories import ADDRESS_JSON, order_manifest

CHANGED = {
    "items": [{"sku": "other", "qty": 1}],
    "orderId": "other",
    "customer": {"name": "Eve"},
    "paymentId": "other",
    "currency": "EUR",
    "adjustments": [{"kind": "tax", "amount": "9.99"}],
    "reference": "#1002",
    "review": {"mode": "auto"},
    "deadline": "1h",
    "delivery": {"confirm": True},
}
SPEC = {
    "orderId": "id",
    "customer": {"name": "Ada"},
    "paymentId": "pay",
    "currency": "USD",
    "adjustments": [{"kind": "discount", "amount": "-0.00", "description": "x" * 256, "line": "1"}] * 50,
    "reference": "#1001" + "x" * 250,
    "review": {"mode": "manual"},
    "deadline": "2h",
    "delivery": {"confirm": False},
}


@pytest.fixture(scope="module")
def cluster(backing):
    """A namespace for Orders that are only validated."""
    made = backing.kubernetes()
    orders = [
        order_manifest("given", **SPEC),
        order_manifest("left-out"),
        order_manifest("decided", approved=True, cancel=True),
    ]
    for order in orders:
        made.kubectl("create", "-f", "-", input=json.dumps(order))
    return made


def create(cluster, name="order", **spec):
    """Validate an Order at the API server; return its message."""
    return cluster.kubectl_fails(
        "create", "--dry-run=server", "-f", "-", input=json.dumps(order_manifest(name, **spec))
    )


@pytest.mark.parametrize(
    ("spec", "field", "advice"),
    [
        ({"items": []}, "spec.items", "at least 1 items"),
        ({"items": [{"sku": "a", "qty": 1}] * 201}, "spec.items", "Too many: 201: must have at most 200 items"),
        ({"items": [{"sku": "", "qty": 1}]}, "spec.items[0].sku", "is empty; name the article"),
        ({"items": [{"sku": " ", "qty": 1}]}, "spec.items[0].sku", "is empty; name the article"),
        ({"items": [{"sku": "a" * 129, "qty": 1}]}, "spec.items[0].sku", "Too long"),
        ({"items": [{"sku": "a", "qty": 0}]}, "spec.items[0].qty", "greater than or equal to 1"),
        ({"items": [{"sku": "a", "qty": 1.5}]}, "spec.items[0].qty", "must be of type integer"),
        ({"items": [{"sku": "a"}]}, "spec.items[0].qty", "Required value"),
        ({"items": [{"sku": "a", "qty": 1, "price": "-1"}]}, "spec.items[0].price", "write a decimal"),
        ({"items": [{"sku": "a", "qty": 1, "price": "1.23456"}]}, "spec.items[0].price", "at most 10 digits before"),
        ({"items": [{"sku": "a", "qty": 1, "price": 9.99}]}, "spec.items[0].price", "must be of type string"),
        ({"address": {**ADDRESS_JSON, "city": ""}}, "spec.address.city", "is empty; fill it in"),
        ({"address": {"city": "x"}}, "spec.address.street", "is missing; give it"),
        ({"address": {"line1": " "}}, "spec.address.line1", "is empty; fill it in"),
        ({"address": {**ADDRESS_JSON, "line1": "2 Side St"}}, "spec.address.street", "and line1 are two names of one"),
        ({"address": {**ADDRESS_JSON, "postal_code": "1"}}, "spec.address.zip", "and postal_code are two names of one"),
        ({"address": {**ADDRESS_JSON, "country_code": "1"}}, "spec.address.country", "and country_code are two names"),
        (
            {"address": {**ADDRESS_JSON, "line2": "1", "street2": "2"}},
            "spec.address.street2",
            "and line2 are two",
        ),
        ({"address": "here"}, "spec.address", "must be of type object"),
        ({"orderId": ""}, "spec.orderId", "begin with a letter or a digit"),
        ({"orderId": "-a"}, "spec.orderId", "begin with a letter or a digit"),
        ({"orderId": "a" * 129}, "spec.orderId", "Too long"),
        ({"paymentId": "a b"}, "spec.paymentId", "letters, digits, dots"),
        ({"currency": "usd"}, "spec.currency", "ISO 4217 code such as USD"),
        ({"currency": "DOLLAR"}, "spec.currency", "Too long"),
        ({"customer": {"email": "ada"}}, "spec.customer.email", "name@example.com"),
        ({"reference": " "}, "spec.reference", "is empty; fill it in or leave it out"),
        ({"reference": "x" * 256}, "spec.reference", "Too long"),
        ({"items": [{"id": "", "sku": "a", "qty": 1}]}, "spec.items[0].id", "is empty; fill it in or leave it out"),
        (
            {"items": [{"id": "shipping", "sku": "a", "qty": 1}]},
            "spec.items[0].id",
            "is the line of the shipping costs; choose another id",
        ),
        ({"adjustments": [{"kind": "fee", "amount": "1"}] * 51}, "spec.adjustments", "must have at most 50 items"),
        ({"adjustments": [{"kind": "bonus", "amount": "1"}]}, "spec.adjustments[0].kind", "supported values"),
        ({"adjustments": [{"kind": "fee", "amount": "1e2"}]}, "spec.adjustments[0].amount", "write a decimal"),
        ({"adjustments": [{"kind": "fee", "amount": "-1"}]}, "spec.adjustments[0].amount", "a discount is 0 or less"),
        ({"adjustments": [{"kind": "discount", "amount": "1"}]}, "spec.adjustments[0].amount", "a discount is 0 or"),
        ({"adjustments": [{"amount": "1"}]}, "spec.adjustments[0].kind", "Required value"),
        ({"review": {"mode": "robot"}}, "spec.review.mode", 'supported values: "manual", "auto"'),
        ({"review": {"onTimeout": "x"}}, "spec.review.onTimeout", 'supported values: "cancel", "approve"'),
        ({"review": {"timeout": "soon"}}, "spec.review.timeout", "such as 24h, 1h30m, 90s or 250ms"),
        ({"review": {"timeout": "0s"}}, "spec.review.timeout", "above zero"),
        ({"deadline": "12"}, "spec.deadline", "such as 24h"),
        ({"delivery": {"timeout": "-1h"}}, "spec.delivery.timeout", "such as 24h"),
        ({"approved": "yes"}, "spec.approved", "must be of type boolean"),
        ({"cancelReason": "x"}, "spec.cancelReason", "needs cancel set to true as well"),
        ({"deletionPolicy": "Keep"}, "spec.deletionPolicy", 'supported values: "Cancel", "Orphan"'),
        ({"color": "blue"}, "spec.color", "unknown field"),
        (
            {"items": [{"sku": "tv", "qty": 1, "unit_price": "499.00"}]},
            "spec.items[0].unit_price",
            "unknown field",
        ),
        ({"address": {**ADDRESS_JSON, "postcode": "1"}}, "spec.address.postcode", "unknown field"),
        ({"review": {"tiemout": "1h"}}, "spec.review.tiemout", "unknown field"),
    ],
)
def test_invalid_spec_is_rejected_with_field_and_remedy(cluster, spec, field, advice):
    message = create(cluster, **spec)
    assert field in message
    assert advice in message


def test_apply_rejects_misspelt_field(cluster):
    misspelt = json.dumps(order_manifest("misspelt", items=[{"sku": "tv", "qty": 1, "unit_price": "499.00"}]))
    message = cluster.kubectl_fails("apply", "-f", "-", input=misspelt)
    assert 'unknown field "spec.items[0].unit_price"' in message


def test_name_too_long_for_order_id_requires_order_id(cluster):
    name = "a" * 129
    assert "spec.orderId: Invalid value: set it" in create(cluster, name)
    cluster.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(order_manifest(name, orderId="short")))


def test_largest_order_is_accepted(kubernetes):
    aliases = ADDRESS_ALIASES.values()
    names = [*Address.model_fields, *aliases]
    long = {field: "x" * (32 if field in {"zip", "postal_code"} else 256) for field in names}
    items = [{"sku": "s" * 128, "qty": 1000000, "price": "9999999999.9999"}] * 200
    largest = order_manifest("largest", items=items, address=long, **SPEC)
    kubernetes.kubectl("create", "-f", "-", input=json.dumps(largest))
    patch(kubernetes, "largest", {"approved": True}, keep=True)


def patch(cluster, name, spec, *, rejected=False, keep=False):
    call = cluster.kubectl_fails if rejected else cluster.kubectl
    keep = [] if keep else ["--dry-run=server"]
    return call("patch", "ofo", name, *keep, "--type=merge", "-p", json.dumps({"spec": spec}))


@pytest.mark.parametrize("name", ["given", "left-out"])
@pytest.mark.parametrize("field", CHANGED)
def test_immutable_field_change_is_rejected(cluster, field, name):
    message = patch(cluster, name, {field: CHANGED[field]}, rejected=True)
    assert f"spec.{field}: Forbidden: can't change after creation" in message


@pytest.mark.parametrize("field", SPEC)
def test_immutable_field_removal_is_rejected(cluster, field):
    message = patch(cluster, "given", {field: None}, rejected=True)
    assert f"spec.{field}: Forbidden: can't change after creation" in message


def test_mutable_field_change_is_accepted(cluster):
    patch(cluster, "given", {"address": {**ADDRESS_JSON, "city": "Shelbyville"}})
    patch(cluster, "given", {"deletionPolicy": "Orphan"})
    patch(cluster, "given", {"approved": True})
    patch(cluster, "given", {"cancel": True, "cancelReason": "ordered twice"})


@pytest.mark.parametrize("back", [False, None])
def test_approval_and_cancel_are_final(cluster, back):
    for field, advice in (("approved", "set cancel to true"), ("cancel", "create another Order")):
        message = patch(cluster, "decided", {field: back}, rejected=True)
        assert f"spec.{field}: Forbidden: a" in message
        assert advice in message


def test_ended_order_spec_is_immutable(kubernetes):
    kubernetes.kubectl("create", "-f", "-", input=json.dumps(order_manifest("order")))
    ended = '{"status":{"ended":true}}'
    kubernetes.kubectl("patch", "ofo", "order", "--subresource=status", "--type=merge", "-p", ended)
    for spec in ({"approved": True}, {"address": {"city": "Shelbyville"}}, {"deletionPolicy": "Orphan"}):
        message = patch(kubernetes, "order", spec, rejected=True)
        assert "spec: Forbidden: the order has ended and can't be changed any more" in message
    kubernetes.kubectl("label", "ofo", "order", "color=blue")


def test_status_in_create_is_ignored(kubernetes):
    kubernetes.kubectl(
        "create", "-f", "-", input=json.dumps({**order_manifest("order"), "status": {"step": "shipped"}})
    )
    assert kubernetes.kubectl("get", "ofo", "order", "-o", "jsonpath={.status}") == ""
