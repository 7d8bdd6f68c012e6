"""What of a declared Order its workflow is given."""

from __future__ import annotations

from datetime import timedelta

from declared import ELSEWHERE, SETTINGS, order

from orderfleet.domain.order import ReviewMode, ReviewTimeoutAction
from orderfleet.operator.crd import cancellation, order_input, spec_hash, spec_update, unmet_fields
from orderfleet.settings import Settings


def test_order_input_omitted_terms_default_to_settings():
    settings = Settings(
        review_timeout=timedelta(hours=2),
        review_on_timeout="approve",
        order_deadline=timedelta(days=3),
        delivery_confirm=True,
        charge_timeout=timedelta(seconds=9),
    )
    given = order_input(order(), settings)
    assert given.review.timeout == timedelta(hours=2)
    assert given.review.on_timeout is ReviewTimeoutAction.APPROVE
    assert given.deadline == timedelta(days=3)
    assert given.delivery.confirm
    assert given.policy.charge.attempt_timeout == timedelta(seconds=9)
    assert (given.payment_id, given.currency) == ("pay-o-1", "USD")


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
    given = order_input(declared, SETTINGS)
    assert (given.order_id, given.payment_id, given.currency) == ("X_1", "p:1", "EUR")
    assert (given.review.mode, given.review.timeout) == (ReviewMode.AUTO, timedelta(seconds=90))
    assert given.review.on_timeout is SETTINGS.review_on_timeout
    assert given.deadline == timedelta(minutes=90)
    assert (given.delivery.confirm, given.delivery.timeout) == (True, timedelta(hours=2))
    assert given.customer.name == "Ada"


def test_order_input_names_owner_and_generation():
    given = order_input(order(generation=4), SETTINGS)
    assert (given.owner, given.owner_uid, given.generation) == ("shop/o-1", "uid-1", 4)


def test_spec_hash_ignores_mutable_fields():
    edited = order(uid="other", approved=True, cancel=True, cancelReason="x", address=ELSEWHERE)
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
    told = spec_update(order(generation=3, approved=True, cancel=True, cancelReason="twice", address=ELSEWHERE))
    assert (told.generation, told.approved, told.cancel, told.cancel_reason) == (3, True, True, "twice")
    assert told.address.street == "2 Side St"


def test_cancellation_of_deleted_order_sends_cancel_only():
    told = cancellation(order(deletionTimestamp="2026-11-01T00:00:00Z", generation=2, approved=True))
    assert (told.cancel, told.approved, told.address) == (True, False, None)


def test_unmet_fields_names_unmatched_fields():
    edited = order(approved=True, cancel=True)
    assert unmet_fields(edited, approved=False, canceled=False, same_address=False) == ["approved", "cancel", "address"]
    assert unmet_fields(edited, approved=True, canceled=True, same_address=True) == []
