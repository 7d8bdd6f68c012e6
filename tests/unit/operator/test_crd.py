"""Input and signals of a workflow, made from an Order."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

from orderfleet.domain.order import ReviewMode, ReviewTimeoutAction
from orderfleet.operator.crd import cancellation, order_input, spec_hash, spec_update, unmet_fields
from orderfleet.settings import Settings
from support.factories import ELSEWHERE_JSON
from support.observed_orders import SETTINGS, order


def test_order_input_omitted_terms_default_to_settings():
    settings = Settings(
        review_timeout=timedelta(hours=2),
        review_on_timeout="approve",
        order_deadline=timedelta(days=3),
        delivery_confirm=True,
        charge_timeout=timedelta(seconds=9),
    )
    made = order_input(order(), settings)
    assert made.review.timeout == timedelta(hours=2)
    assert made.review.on_timeout is ReviewTimeoutAction.APPROVE
    assert made.deadline == timedelta(days=3)
    assert made.delivery.confirm
    assert made.policy.charge.attempt_timeout == timedelta(seconds=9)
    assert (made.payment_id, made.currency) == ("pay-o-1", "USD")


def test_order_input_spec_overrides_settings():
    declared = order(
        orderId="X_1",
        review={"mode": "auto", "timeout": "90s"},
        deadline="1h30m",
        delivery={"confirm": True, "timeout": "2h"},
        paymentId="p:1",
        currency="EUR",
        customer={"name": "Ada"},
    )
    made = order_input(declared, SETTINGS)
    assert (made.order_id, made.payment_id, made.currency) == ("X_1", "p:1", "EUR")
    assert (made.review.mode, made.review.timeout) == (ReviewMode.AUTO, timedelta(seconds=90))
    assert made.review.on_timeout is SETTINGS.review_on_timeout
    assert made.deadline == timedelta(minutes=90)
    assert (made.delivery.confirm, made.delivery.timeout) == (True, timedelta(hours=2))
    assert made.customer.name == "Ada"


def test_order_input_names_owner_and_generation():
    made = order_input(order(generation=4), SETTINGS)
    assert (made.owner, made.owner_uid, made.generation) == ("shop/o-1", "uid-1", 4)


def test_spec_hash_ignores_mutable_fields():
    edited = order(uid="other", approved=True, cancel=True, cancelReason="x", address=ELSEWHERE_JSON)
    assert spec_hash(edited) == spec_hash(order())
    assert spec_hash(order(deletionPolicy="Orphan")) == spec_hash(order())


def test_spec_hash_differs_by_immutable_field():
    others = [
        order(items=[{"sku": "a", "qty": 2, "price": "2.50"}]),
        order(currency="EUR"),
        order(review={"mode": "auto"}),
        order(paymentId="p"),
        order(customer={"name": "Ada"}),
        order(deadline="1h"),
    ]
    assert len({spec_hash(each) for each in [order(), *others]}) == len(others) + 1


def test_spec_hash_of_equal_durations_is_equal():
    assert spec_hash(order(deadline="90m")) == spec_hash(order(deadline="1h30m"))


def test_spec_update_has_all_mutable_fields():
    update = spec_update(order(generation=3, approved=True, cancel=True, cancelReason="twice", address=ELSEWHERE_JSON))
    assert (update.generation, update.approved, update.cancel, update.cancel_reason) == (3, True, True, "twice")
    assert update.address.street == "2 Side St"


def test_cancellation_of_deleted_order_sends_cancel_only():
    update = cancellation(order(deletionTimestamp="2026-11-01T00:00:00Z", generation=2, approved=True))
    assert (update.cancel, update.approved, update.address) == (True, False, None)


def test_unmet_fields_names_unmatched_fields():
    edited = order(approved=True, cancel=True)
    status = SimpleNamespace(approved=False, canceled=False, address=None)
    assert unmet_fields(edited.spec, status) == ["approved", "cancel", "address"]
    status = SimpleNamespace(approved=True, canceled=True, address=edited.spec.address)
    assert unmet_fields(edited.spec, status) == []
