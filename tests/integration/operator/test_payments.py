"""The payment of an Order: captured on shipment, held and retried by its spec, waiting for the customer."""

from __future__ import annotations

from orderfleet.domain.errors import PaymentRefused
from support.factories import order_manifest
from support.operator_env import condition, ended, step
from support.scripted_providers import fails

AUTO = {"mode": "auto"}


async def test_order_captured_on_shipment_shows_its_amounts(shop, workers):
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name, review=AUTO, payment={"capture": "onShipment"}))
        done = await shop.until(name, ended)
    assert condition(done, "Charged") == ("True", "Charged")
    payment = done["status"]["payment"]
    assert {key: payment[key] for key in ("status", "authorized", "captured", "refunded")} == {
        "status": "CHARGED",
        "authorized": "19.98",
        "captured": "19.98",
        "refunded": "0.00",
    }
    assert condition(done, "Held") is None


async def test_held_order_says_why_and_ships_once_the_spec_has_another_method(shop, workers):
    workers.provider.capturing.before.append(fails(PaymentRefused("no funds")))
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name, review=AUTO, payment={"capture": "onShipment", "method": "card-1"}))
        held = await shop.until(name, lambda order: condition(order, "Held") == ("True", "PaymentRequired"))
        assert condition(held, "Reconciling") == ("True", "PaymentRequired")
        assert condition(held, "Charged") == ("False", "Authorized")
        hold = held["status"]["hold"]
        assert (hold["name"], hold["reason"]) == ("payment_required", "no funds")
        assert held["status"]["shipments"][0]["status"] == "parked"
        assert "no funds" in await shop.kubectl("describe", "ofo", name)
        assert (await shop.kubectl("get", "ofo", name, "--no-headers")).split()[:3] == [name, "shipping", "AUTHORIZED"]

        await shop.patch(name, payment={"method": "card-2"})
        done = await shop.until(name, ended)
    assert step(done) == "shipped"
    assert condition(done, "Held") == ("False", "HoldEnded")
    assert "hold" not in done["status"]
    assert done["status"]["observedGeneration"] == 2
    reasons = await shop.reasons(name)
    assert reasons.count("PaymentRequired") == reasons.count("HoldEnded") == 1
    warning = next(event for event in await shop.events(name) if event["reason"] == "PaymentRequired")
    assert warning["type"] == "Warning"
    assert "another method" in warning["message"]
    assert workers.provider.balance(f"pay-{name}") == 1


async def test_pending_payment_shows_the_page_of_the_customer(shop, workers):
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name, review=AUTO, payment={"method": "pending"}))
        waiting = await shop.until(name, lambda order: condition(order, "Reconciling") == ("True", "AwaitingCustomer"))
        pending = waiting["status"]["payment"]["pending"]
        assert set(pending) == {"url", "until"}
        described = await shop.kubectl("describe", "ofo", name)
        assert pending["url"] in described
        workers.provider.ledger.confirm(f"pay-{name}")
        await workers.handle(name).signal("payment_update")
        done = await shop.until(name, ended)
    assert "pending" not in done["status"]["payment"]
    assert "AwaitingCustomer" in await shop.reasons(name)


async def test_capture_of_an_order_is_immutable_and_its_method_is_not(shop, workers):
    name = shop.name()
    await shop.apply(order_manifest(name, payment={"capture": "onShipment"}))
    patch = ("patch", "ofo", name, "--type=merge", "-p")
    for change in ('{"spec":{"payment":{"capture":"immediate"}}}', '{"spec":{"payment":null}}'):
        message = await shop.rejected(*patch, change)
        assert "spec.payment.capture: Forbidden: can't change after creation" in message
    for method, expected in (("x" * 256, "Too long"), (" ", "is empty")):
        assert expected in await shop.rejected(*patch, f'{{"spec":{{"payment":{{"method":"{method}"}}}}}}')
    await shop.patch(name, payment={"method": "card-1"})
    unknown = await shop.rejected(*patch, '{"spec":{"payment":{"capture":"later"}}}')
    assert '"immediate", "onShipment"' in unknown


async def test_method_before_the_charge_is_the_one_that_is_charged(shop, workers):
    name = shop.name()
    async with shop.operator():
        await shop.apply(order_manifest(name, payment={"method": "refuse"}))
        await shop.until(name, lambda order: step(order) == "manual_review")
        await shop.patch(name, payment={"method": "card-2"})
        await shop.patch(name, approved=True)
        done = await shop.until(name, ended)
    assert step(done) == "shipped"
