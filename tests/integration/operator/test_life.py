"""An Order from `kubectl apply` to its end."""

from __future__ import annotations

import asyncio

import pytest

from orderfleet.domain.errors import CarrierRefused, PaymentRefused
from orderfleet.domain.order import Address
from support.factories import ADDRESS_JSON, ELSEWHERE_JSON, order_manifest
from support.operator_env import condition, ended, step
from support.polling import eventually
from support.scripted_providers import Gate, fails

WRITES = {"approved at creation": 6, "reviewed": 9}
"""Maximal number of writes to an Order until its end, without Events; two less on an idle machine."""


async def test_reviewed_order_is_started_approved_and_shipped(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        waiting = await operator_env.until(name, lambda order: step(order) == "manual_review")
        assert condition(waiting, "Reconciling") == ("True", "AwaitingReview")
        assert condition(waiting, "Approved") == ("False", "AwaitingReview")
        assert waiting["status"]["observedGeneration"] == 1
        await operator_env.patch(name, approved=True)
        done = await operator_env.until(name, ended)
    assert step(done) == "shipped"
    assert condition(done, "Ready") == ("True", "Shipped")
    assert condition(done, "Charged") == ("True", "Charged")
    assert done["status"]["observedGeneration"] == 2
    assert done["status"]["payment"] == {
        "id": f"pay-{name}",
        "status": "CHARGED",
        "amount": "19.98",
        "authorized": "19.98",
        "captured": "19.98",
        "refunded": "0.00",
        "currency": "USD",
    }
    assert done["status"]["trackingNumber"] == f"track-ship-{name}"
    assert await operator_env.reasons(name) == ["Started", "AwaitingReview", "Approved", "Charged", "Shipped"]
    assert sum(operator_env.patches(name).values()) <= WRITES["reviewed"]
    assert workers.provider.charges[f"pay-{name}"] == 1


@pytest.mark.parametrize("spec", [{"review": {"mode": "auto"}}, {"approved": True}], ids=["auto", "approved"])
async def test_order_that_needs_no_review_is_shipped_with_few_writes(operator_env, workers, spec):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, **spec))
        done = await operator_env.until(name, ended)
    assert condition(done, "Ready") == ("True", "Shipped")
    # On a busy machine attempts may time out, and each is a write.
    retries = sum(done["status"].get("retries", {}).values())
    assert sum(operator_env.patches(name).values()) <= WRITES["approved at creation"] + retries
    assert (await operator_env.reasons(name))[-1] == "Shipped"


async def test_slow_order_is_shipped_with_few_writes(operator_env, workers):
    async def slowly() -> None:
        await asyncio.sleep(0.4)

    workers.provider.charging.always = slowly
    workers.carrier.booking.always = slowly
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, approved=True))
        await operator_env.until(name, ended)
    assert sum(operator_env.patches(name).values()) <= WRITES["approved at creation"]


@pytest.mark.slow
async def test_status_is_written_within_a_second_of_the_record(operator_env, workers):
    loop, took = asyncio.get_running_loop(), []
    async with operator_env.operator() as operator:
        for _ in range(3):  # the fastest counts, because the machine may be busy
            charging = Gate()
            workers.provider.charging.before = [charging]
            name = operator_env.name()
            await operator_env.apply(order_manifest(name, approved=True))
            await asyncio.wait_for(charging.reached.wait(), 60)
            begun = loop.time()
            (key,) = operator.cache
            await eventually(lambda key=key: operator.cache[key].body["status"].get("step") == "charge")
            took.append(loop.time() - begun)
            charging.opened.set()
            await operator_env.until(name, ended)
            await eventually(lambda: not operator.cache)
    assert min(took) < 1


async def test_canceled_order_is_ready_because_it_was_declared(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        await operator_env.patch(name, cancel=True, cancelReason="ordered twice")
        done = await operator_env.until(name, ended)
    assert condition(done, "Ready") == ("True", "Canceled")
    assert done["status"]["cancelReason"] == "ordered twice"
    assert workers.provider.charges.total() == 0


async def test_order_canceled_at_creation_is_started_and_never_charged(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, approved=True, cancel=True, cancelReason="a mistake"))
        done = await operator_env.until(name, ended)
    assert condition(done, "Accepted") == ("True", "Started")
    assert condition(done, "Ready") == ("True", "Canceled")
    assert workers.provider.charges.total() == 0


async def test_failed_order_is_stalled(operator_env, workers):
    workers.provider.charging.before = [fails(PaymentRefused("card expired"))]
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, approved=True))
        done = await operator_env.until(name, ended)
    assert condition(done, "Stalled") == ("True", "Failed")
    assert condition(done, "Charged") == ("False", "ChargeDeclined")
    assert "card expired" in done["status"]["lastError"]


async def test_order_with_the_payment_id_of_another_is_stalled_before_its_review(operator_env, workers):
    first, second = operator_env.name(), operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(first, paymentId=f"shared-{first}"))
        await operator_env.until(first, lambda order: step(order) == "manual_review")
        await operator_env.apply(order_manifest(second, paymentId=f"shared-{first}"))
        done = await operator_env.until(second, ended)
    assert condition(done, "Stalled") == ("True", "Failed")
    assert condition(done, "Charged") == ("False", "NotCharged")
    (stalled,) = (each for each in done["status"]["conditions"] if each["type"] == "Stalled")
    assert "belongs to another order" in stalled["message"]
    assert workers.provider.charges.total() == 0


async def test_review_that_times_out_ends_stalled(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, review={"timeout": "300ms"}))
        done = await operator_env.until(name, ended)
    assert condition(done, "Stalled") == ("True", "Canceled")
    assert done["status"]["cancelReason"] == "review timed out"


async def test_address_changed_before_dispatch_is_used(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        await operator_env.patch(name, address=ELSEWHERE_JSON, approved=True)
        await operator_env.until(name, ended)
    (parcel,) = workers.carrier.parcels[f"ship-{name}"]
    assert parcel.address.street == ELSEWHERE_JSON["street"]


async def test_address_with_every_field_in_any_script_reaches_the_carrier(operator_env, workers):
    world = {
        "name": "\u200f\u05de\u05e8\u05d9\u05dd\u200e",
        "company": "\N{ROCKET} \N{MAN}\u200d\N{WOMAN}\u200d\N{GIRL} Ltd",
        "line1": "1 Nathan Road",
        "line2": "Flat 7",
        "district": "\u65fa\u89d2",
        "state": "Kowloon",
        "country_code": "HK",
        "phone": "+852 5555 0100",
    }
    started, changed, incomplete = operator_env.name(), operator_env.name(), operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(started, address=world, approved=True))
        await operator_env.apply(
            order_manifest(incomplete, address={"street": "1 Main St", "country": "US"}, approved=True)
        )
        await operator_env.apply(order_manifest(changed))
        await operator_env.until(changed, lambda order: step(order) == "manual_review")
        # A merge patch keeps the fields that it does not name.
        await operator_env.patch(changed, address={**dict.fromkeys(ADDRESS_JSON), **world}, approved=True)
        for name in (started, changed):
            assert condition(await operator_env.until(name, ended), "Ready") == ("True", "Shipped")
            assert [each.address for each in workers.carrier.parcels[f"ship-{name}"]] == [Address(**world)]
        failed = await operator_env.until(incomplete, ended)
    assert "address.state: is required in US; write one of AL" in failed["status"]["lastError"]


async def test_rejected_change_is_shown_and_the_order_continues(operator_env, workers):
    booking = Gate()
    workers.carrier.booking.before = [booking]
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, approved=True))
        await asyncio.wait_for(booking.reached.wait(), 60)
        await operator_env.patch(name, address=ELSEWHERE_JSON)
        rejected = await operator_env.until(name, lambda order: condition(order, "SpecApplied") is not None)
        assert condition(rejected, "SpecApplied") == ("False", "SpecChangeRejected")
        assert rejected["status"]["observedGeneration"] == 2
        assert condition(rejected, "Reconciling") == ("True", "Shipping")
        booking.opened.set()
        done = await operator_env.until(name, ended)
    assert condition(done, "Ready") == ("True", "Shipped")
    assert condition(done, "SpecApplied") == ("False", "SpecChangeRejected")
    assert "SpecChangeRejected" in await operator_env.reasons(name)
    (parcel,) = workers.carrier.parcels[f"ship-{name}"]
    assert parcel.address.street == ADDRESS_JSON["street"]


@pytest.mark.slow
async def test_pending_refund_is_shown_until_refunded(operator_env, workers):
    refunding = Gate()
    workers.provider.refunding.always = refunding
    workers.carrier.booking.always = fails(CarrierRefused("no such street"))
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, approved=True))
        pending = await operator_env.until(name, lambda order: step(order) == "failed")
        assert condition(pending, "Stalled") == ("True", "Failed")
        assert condition(pending, "Charged") == ("False", "Refunding")
        assert not ended(pending)
        refunding.opened.set()
        done = await operator_env.until(name, ended)
    assert condition(done, "Charged") == ("False", "Refunded")
    assert condition(done, "Shipped") == ("False", "DispatchFailed")
    assert (await operator_env.reasons(name))[-1] == "Refunded"


@pytest.mark.slow
async def test_ten_changes_in_a_second_are_applied_with_few_writes(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        before = sum(operator_env.patches(name).values())
        for number in range(10):
            await operator_env.patch(name, address={**ELSEWHERE_JSON, "street": f"{number} Side St"})
        settled = await operator_env.until(name, lambda order: order["status"]["observedGeneration"] == 11)
        assert condition(settled, "Reconciling") == ("True", "AwaitingReview")
        # At most one write for each processed change, and some that conflict with a later change.
        assert sum(operator_env.patches(name).values()) - before <= 20
        await operator_env.patch(name, approved=True)
        await operator_env.until(name, ended)
    (parcel,) = workers.carrier.parcels[f"ship-{name}"]
    assert parcel.address.street == "9 Side St"


async def test_applied_twice_changes_nothing(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator() as operator:
        await operator_env.apply(order_manifest(name))
        first = await operator_env.until(name, lambda order: step(order) == "manual_review")
        await operator_env.apply(order_manifest(name))
        await operator_env.kubectl("label", "ofo", name, "color=blue")
        (key,) = operator.cache
        await eventually(lambda: "labels" in operator.cache[key].body["metadata"] and not len(operator.queue))
        again = await operator_env.get(name)
    assert again["status"] == first["status"]
    assert sum(operator_env.patches(name).values()) <= 3


async def test_kubectl_wait_get_and_describe_show_order(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        adjustments = [{"kind": "shipping", "amount": "4.90"}, {"kind": "discount", "amount": "-1.00", "line": "1"}]
        await operator_env.apply(order_manifest(name, reference="2026/000042", adjustments=adjustments))
        await operator_env.kubectl(
            "wait", "--for=jsonpath={.status.step}=manual_review", f"ofo/{name}", "--timeout=50s"
        )
        await operator_env.kubectl("wait", "--for=condition=Accepted", f"ofo/{name}", "--timeout=50s")
        await operator_env.patch(name, approved=True)
        await operator_env.kubectl("wait", "--for=condition=Ready", f"orders.orderfleet.dev/{name}", "--timeout=50s")
    head, line = (await operator_env.kubectl("get", "ofo", name)).splitlines()
    assert head.split() == ["NAME", "STEP", "PAYMENT", "TRACKING", "AGE"]
    assert line.split()[:4] == [name, "shipped", "CHARGED", f"track-ship-{name}"]
    head, line = (await operator_env.kubectl("get", "ofo", name, "-o", "wide")).splitlines()
    assert head.split() == [*"NAME STEP PAYMENT TRACKING AGE ORDER ID REFERENCE READY REASON".split()]
    assert line.split()[-4:] == [name, "2026/000042", "True", "Shipped"]
    amount = await operator_env.kubectl("get", "ofo", name, "-o", "jsonpath={.status.payment.amount}")
    assert amount == "23.88"
    described = await operator_env.kubectl("describe", "ofo", name)
    assert described.index("Started") < described.rindex("AwaitingReview") < described.rindex("on the way by")
