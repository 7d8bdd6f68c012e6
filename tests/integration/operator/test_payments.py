"""The payment of an Order: captured on shipment, held and retried by its spec, waiting for the customer."""

from __future__ import annotations

from orderfleet.domain.errors import PaymentRefused
from support.factories import order_manifest
from support.operator_env import condition, ended, step
from support.scripted_providers import fails

AUTO = {"mode": "auto"}


async def test_order_captured_on_shipment_shows_its_amounts(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, review=AUTO, payment={"capture": "onShipment"}))
        done = await operator_env.until(name, ended)
    assert condition(done, "Charged") == ("True", "Charged")
    payment = done["status"]["payment"]
    assert {key: payment[key] for key in ("status", "authorized", "captured", "refunded")} == {
        "status": "CHARGED",
        "authorized": "19.98",
        "captured": "19.98",
        "refunded": "0.00",
    }
    assert condition(done, "Held") is None


async def test_held_order_says_why_and_ships_once_the_spec_has_another_method(operator_env, workers):
    workers.provider.capturing.before.append(fails(PaymentRefused("no funds")))
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(
            order_manifest(name, review=AUTO, payment={"capture": "onShipment", "method": "card-1"})
        )
        held = await operator_env.until(name, lambda order: condition(order, "Held") == ("True", "PaymentRequired"))
        assert condition(held, "Reconciling") == ("True", "PaymentRequired")
        assert condition(held, "Charged") == ("False", "Authorized")
        hold = held["status"]["hold"]
        assert (hold["name"], hold["reason"]) == ("payment_required", "no funds")
        assert held["status"]["shipments"][0]["status"] == "parked"
        assert "no funds" in await operator_env.kubectl("describe", "ofo", name)
        assert (await operator_env.kubectl("get", "ofo", name, "--no-headers")).split()[:3] == [
            name,
            "shipping",
            "AUTHORIZED",
        ]

        await operator_env.patch(name, payment={"method": "card-2"})
        done = await operator_env.until(name, ended)
    assert step(done) == "shipped"
    assert condition(done, "Held") == ("False", "HoldEnded")
    assert "hold" not in done["status"]
    assert done["status"]["observedGeneration"] == 2
    reasons = await operator_env.reasons(name)
    assert reasons.count("PaymentRequired") == reasons.count("HoldEnded") == 1
    warning = next(event for event in await operator_env.events(name) if event["reason"] == "PaymentRequired")
    assert warning["type"] == "Warning"
    assert "another method" in warning["message"]
    assert workers.provider.balance(f"pay-{name}") == 1


async def test_pending_payment_shows_the_page_of_the_customer(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, review=AUTO, payment={"method": "pending"}))
        waiting = await operator_env.until(
            name, lambda order: condition(order, "Reconciling") == ("True", "AwaitingCustomer")
        )
        pending = waiting["status"]["payment"]["pending"]
        assert set(pending) == {"url", "until"}
        described = await operator_env.kubectl("describe", "ofo", name)
        assert pending["url"] in described
        workers.provider.ledger.confirm(f"pay-{name}")
        await workers.handle(name).signal("payment_update")
        done = await operator_env.until(name, ended)
    assert "pending" not in done["status"]["payment"]
    assert "AwaitingCustomer" in await operator_env.reasons(name)


async def test_capture_of_an_order_is_immutable_and_its_method_is_not(operator_env, workers):
    name = operator_env.name()
    await operator_env.apply(order_manifest(name, payment={"capture": "onShipment"}))
    patch = ("patch", "ofo", name, "--type=merge", "-p")
    for change in ('{"spec":{"payment":{"capture":"immediate"}}}', '{"spec":{"payment":null}}'):
        message = await operator_env.rejected(*patch, change)
        assert "spec.payment.capture: Forbidden: can't change after creation" in message
    for method, expected in (("x" * 256, "Too long"), (" ", "is empty")):
        assert expected in await operator_env.rejected(*patch, f'{{"spec":{{"payment":{{"method":"{method}"}}}}}}')
    await operator_env.patch(name, payment={"method": "card-1"})
    unknown = await operator_env.rejected(*patch, '{"spec":{"payment":{"capture":"later"}}}')
    assert '"immediate", "onShipment"' in unknown


async def test_method_before_the_charge_is_the_one_that_is_charged(operator_env, workers):
    name = operator_env.name()
    async with operator_env.operator():
        await operator_env.apply(order_manifest(name, payment={"method": "refuse"}))
        await operator_env.until(name, lambda order: step(order) == "manual_review")
        await operator_env.patch(name, payment={"method": "card-2"})
        await operator_env.patch(name, approved=True)
        done = await operator_env.until(name, ended)
    assert step(done) == "shipped"
