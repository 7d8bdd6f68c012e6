"""Orders from start to end in real processes that charge by Stripe.

Stripe is a server of the tests that keeps state as Stripe does, and sends signed webhooks to the API's real route.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import stripe

from stripe_server import books
from support.backing import Backing
from support.polling import eventually
from support.stripe_shop import WEBHOOK_SECRET, StripeShop, stripe_shop

CAPTURES = pytest.mark.parametrize("capture", ["immediate", "onShipment"])
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stripe"), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(backing: Backing, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StripeShop]:
    folder = tmp_path_factory.mktemp("stripe")
    with backing.database(migrated=True) as url:
        environment = {
            "ORDERFLEET_ENVIRONMENT": "local",
            "ORDERFLEET_TEMPORAL_ADDRESS": backing.temporal_address(),
            "ORDERFLEET_DATABASE_URL": url,
            "ORDERS_TASK_QUEUE": f"orders-{folder.parent.name}-{folder.name}",
            "SHIPPING_TASK_QUEUE": f"shipping-{folder.parent.name}-{folder.name}",
            "ORDERFLEET_HEALTH_HOST": "127.0.0.1",
            "ORDERFLEET_API_HOST": "127.0.0.1",
            "ORDERFLEET_DRAIN_TIMEOUT": "5s",
            "ORDERFLEET_STEP_INITIAL_INTERVAL": "200ms",
            "ORDERFLEET_STEP_ATTEMPTS": "6",
            "ORDERFLEET_RECONCILIATION_GRACE": "0s",
        }
        async with stripe_shop(environment, folder) as made:
            yield made
            await made.check()


async def test_immediate_charge_is_one_intent_that_the_webhook_confirms(shop: StripeShop) -> None:
    await shop.order("str-1")
    assert await shop.until_ended("str-1") == ("shipped", "CHARGED")
    intent = await shop.intent("str-1")
    assert (intent["status"], intent["amount_received"], intent["currency"]) == ("succeeded", 1998, "usd")
    await shop.webhooks_are_sent()
    payment = await shop.payment("str-1")
    assert [(each["kind"], each["amount"]) for each in payment["entries"]] == [("captured", "19.98")]


async def test_order_captured_on_shipment_is_captured_before_its_dispatch(shop: StripeShop) -> None:
    await shop.order("str-2", capture="onShipment")
    assert await shop.until_ended("str-2") == ("shipped", "CHARGED")
    intent = await shop.intent("str-2")
    assert (intent["capture_method"], intent["status"], intent["amount_received"]) == ("manual", "succeeded", 1998)
    kinds = await shop.kinds("str-2")
    assert kinds.index("authorized") < kinds.index("captured") < kinds.index("dispatched")


@CAPTURES
async def test_declined_payment_fails_the_order_with_the_codes(shop: StripeShop, capture: str) -> None:
    order_id = f"str-3-{capture}".lower()
    await shop.order(order_id, books.DECLINED, capture)
    assert await shop.until_ended(order_id) == ("failed", "FAILED")
    assert "insufficient_funds" in (await shop.status(order_id))["last_error"]
    assert (await shop.intent(order_id))["amount_received"] == 0


@pytest.mark.parametrize(
    ("method", "capture"),
    [(books.AUTHENTICATION, "immediate"), (books.AUTHENTICATION, "onShipment"), (books.BANK_DEBIT, "immediate")],
)
async def test_pending_payment_goes_on_by_the_webhook(shop: StripeShop, method: str, capture: str) -> None:
    order_id = f"str-4-{capture}-{method}".lower()
    await shop.order(order_id, method, capture)
    pending = (await shop.until_pending(order_id))["pending"]
    intent = await shop.intent(order_id)
    if method == books.AUTHENTICATION:
        assert pending["url"] == f"https://hooks.example.com/3ds/{intent['id']}"
    await shop.call("books.finish", intent["id"])
    assert await shop.until_ended(order_id) == ("shipped", "CHARGED")
    await shop.webhooks_are_sent()
    sent = await shop.call("webhooks.deliveries")
    assert "accepted" in [each["result"] for each in sent if each["object"] == intent["id"]]


@CAPTURES
async def test_failed_authentication_fails_the_order_and_closes_the_intent(shop: StripeShop, capture: str) -> None:
    order_id = f"str-5-{capture}".lower()
    await shop.order(order_id, books.AUTHENTICATION, capture)
    await shop.until_pending(order_id)
    await shop.call("books.finish", (await shop.intent(order_id))["id"], declined=True)
    assert await shop.until_ended(order_id) == ("failed", "VOIDED")
    assert (await shop.intent(order_id))["status"] == "canceled"


async def test_voucher_that_is_not_paid_until_its_end_cancels_order_and_intent(shop: StripeShop) -> None:
    await shop.order("str-6", books.VOUCHER)
    assert (await shop.until_pending("str-6"))["pending"]["url"].startswith("https://pay.example.com/pi_")
    assert await shop.until_ended("str-6") == ("canceled", "VOIDED")
    assert (await shop.intent("str-6"))["status"] == "canceled"


@CAPTURES
async def test_cancel_of_a_pending_payment_cancels_the_intent(shop: StripeShop, capture: str) -> None:
    order_id = f"str-7-{capture}".lower()
    await shop.order(order_id, books.AUTHENTICATION, capture)
    await shop.until_pending(order_id)
    await shop.change(order_id, "cancel", reason="changed my mind")
    assert await shop.until_ended(order_id) == ("canceled", "VOIDED")
    assert (await shop.intent(order_id))["status"] == "canceled"


@pytest.mark.parametrize(
    ("capture", "during", "outcome"),
    [("immediate", "confirm", "REFUNDED"), ("onShipment", "confirm", "VOIDED"), ("onShipment", "capture", "REFUNDED")],
)
async def test_cancel_while_stripe_acts_leaves_no_money(
    shop: StripeShop, capture: str, during: str, outcome: str
) -> None:
    order_id = f"str-8-{capture}-{during}".lower()
    await shop.call("fail_next", during, "late")
    await shop.order(order_id, capture=capture)
    acted = {"confirm": {"succeeded", "requires_capture"}, "capture": {"succeeded"}}[during]
    await eventually(lambda: shop.intents(order_id), lambda found: found and found[0]["status"] in acted)
    await shop.change(order_id, "cancel", reason="changed my mind")
    assert await shop.until_ended(order_id) == ("canceled", outcome)
    intent = await shop.intent(order_id)
    assert intent["status"] == ("canceled" if outcome == "VOIDED" else "succeeded")


async def test_declined_renewal_of_an_authorization_is_tried_once_and_waits_for_another_card(shop: StripeShop) -> None:
    await shop.order("str-20", books.LAPSED, "onShipment")
    held = await shop.until("str-20", lambda status: status.get("hold"))
    assert held["hold"]["name"] == "payment_required"
    assert "insufficient_funds" in held["hold"]["reason"]
    ids = [each["id"] for each in await shop.intents("str-20")]
    await shop.call("books.lapse", ids[0])
    await shop.webhooks_are_sent()
    sent = await shop.call("webhooks.deliveries")
    # An order that is woken by its own decline would ask the bank again without end.
    assert {each["result"] for each in sent if each["object"] in ids} == {"ignored"}
    assert len(ids) == 2
    answer = await shop.caller.post("/orders/str-20/payment/retry", json={"method": books.CARD})
    assert answer.status_code == 200, answer.text
    assert await shop.until_ended("str-20") == ("shipped", "CHARGED")


async def test_order_whose_dispatch_fails_is_refunded(shop: StripeShop) -> None:
    await shop.order("str-9", items=[{"sku": "refuse-dispatch", "qty": 1, "price": "5.00"}])
    assert await shop.until_ended("str-9") == ("failed", "REFUNDED")


async def test_refunds_after_the_end_are_equal_ones_and_those_of_the_dashboard(shop: StripeShop) -> None:
    await shop.order("str-10")
    await shop.until_ended("str-10")
    for refund_id in ("r1", "r2"):
        assert (await shop.refund("str-10", "5.00", refund_id))["status"] == "refunded"
    intent = await shop.intent("str-10")
    await shop.call("books.refund", {"payment_intent": intent["id"], "amount": "100"})
    await shop.webhooks_are_sent()
    payment = await shop.payment("str-10")
    assert (payment["status"], payment["refunded"], payment["refundable"]) == ("PARTIALLY_REFUNDED", "11.00", "8.98")
    too_much = await shop.caller.post("/orders/str-10/refunds", json={"amount": "8.99"})
    assert too_much.status_code == 409


async def test_refund_that_fails_at_stripe_later_can_be_made_again(shop: StripeShop) -> None:
    await shop.order("str-11")
    await shop.until_ended("str-11")
    await shop.refund("str-11", "19.98", "r1")
    assert (await shop.payment("str-11"))["status"] == "REFUNDED"
    intent = await shop.intent("str-11")
    (refund,) = await shop.call("books.refunds_of", intent["id"])
    await shop.call("books.fail_refund", refund["id"])
    await shop.webhooks_are_sent()
    assert (await shop.payment("str-11"))["status"] == "CHARGED"
    assert "refund_failed" in await shop.kinds("str-11")
    assert (await shop.refund("str-11", "19.98", "r2"))["status"] == "refunded"


async def test_dispute_is_charged_back_and_reversed_by_webhooks(shop: StripeShop) -> None:
    await shop.order("str-12")
    await shop.until_ended("str-12")
    intent = await shop.intent("str-12")
    dispute = await shop.call("books.dispute", intent["id"])
    await shop.webhooks_are_sent()
    payment = await shop.payment("str-12")
    assert (payment["charged_back"], payment["refundable"]) == ("19.98", "0.00")
    assert (await shop.caller.post("/orders/str-12/refunds", json={"amount": "1.00"})).status_code == 409
    await shop.call("books.win_dispute", dispute["id"])
    await shop.webhooks_are_sent()
    payment = await shop.payment("str-12")
    assert (payment["charged_back"], payment["status"], payment["refundable"]) == ("0.00", "CHARGED", "19.98")
    assert {"charged_back", "charge_back_reversed"} <= set(await shop.kinds("str-12"))


async def test_webhooks_late_twice_and_reordered_leave_the_same_ledger(shop: StripeShop) -> None:
    await shop.call("webhooks.confuse", seed=1, latest=1.5)
    ids = [f"str-13-{number}" for number in range(6)]
    for number, order_id in enumerate(ids):
        await shop.order(
            order_id, books.AUTHENTICATION if number % 2 else books.CARD, ("immediate", "onShipment")[number > 2]
        )
    for number, order_id in enumerate(ids):
        if number % 2:
            await shop.until_pending(order_id)
            await shop.call("books.finish", (await shop.intent(order_id))["id"])
    for order_id in ids:
        assert await shop.until_ended(order_id) == ("shipped", "CHARGED")
        intent_id = (await shop.intent(order_id))["id"]
        refund = await shop.call("books.refund", {"payment_intent": intent_id, "amount": "300"})
        await shop.call("books.fail_refund", refund["id"])
        await shop.refund(order_id, "2.00", "r1")
        await shop.call("books.win_dispute", (await shop.call("books.dispute", intent_id))["id"])
    await shop.webhooks_are_sent()
    await shop.call("webhooks.order")
    for order_id in ids:
        payment = await shop.payment(order_id)
        assert (payment["captured"], payment["refunded"], payment["charged_back"]) == ("19.98", "2.00", "0.00")
    sent = Counter(each["id"] for each in await shop.call("webhooks.deliveries"))
    assert max(sent.values()) > 1


async def test_webhook_with_a_wrong_signature_is_400_and_changes_nothing(shop: StripeShop) -> None:
    await shop.order("str-14")
    await shop.until_ended("str-14")
    intent = await shop.intent("str-14")
    forged = {"id": "evt_forged", "type": "charge.dispute.funds_withdrawn", "created": int(time.time())}
    content = {"id": "dp_forged", "amount": 1998, "currency": "usd", "created": 1, "payment_intent": intent["id"]}
    body = json.dumps({**forged, "data": {"object": content}})
    header = stripe.WebhookSignature.generate_signature_header(body, "whsec_other", int(time.time()))
    answer = await shop.caller.post("/webhooks/stripe", content=body, headers={"Stripe-Signature": header})
    assert answer.status_code == 400
    assert (await shop.payment("str-14"))["charged_back"] == "0.00"


async def test_signing_secret_is_rotated_with_both_in_the_file(shop: StripeShop) -> None:
    await shop.send_webhooks("whsec_rotated")
    await shop.order("str-15", books.AUTHENTICATION)
    await shop.until_pending("str-15")
    await shop.call("books.finish", (await shop.intent("str-15"))["id"])
    await eventually(lambda: shop.call("webhooks.last_status"), lambda status: status == 400)
    shop.secret_file.write_text(f"{WEBHOOK_SECRET}\nwhsec_rotated\n")
    assert await shop.until_ended("str-15") == ("shipped", "CHARGED")
    await shop.webhooks_are_sent()


@pytest.mark.parametrize("fault", ["drop", "drop_for_a_day"])
@pytest.mark.parametrize("operation", ["create", "confirm", "capture", "refund", "cancel"])
async def test_lost_answer_is_one_intent_that_takes_money_once(shop: StripeShop, operation: str, fault: str) -> None:
    order_id = f"str-16-{operation}-{fault}".replace("_", "-")
    await shop.call("fail_next", operation, fault)
    is_capture, is_cancel = operation == "capture", operation == "cancel"
    await shop.order(
        order_id,
        books.AUTHENTICATION if is_cancel else books.CARD,
        "onShipment" if is_capture else "immediate",
        items=[{"sku": "refuse-dispatch" if operation == "refund" else "widget", "qty": 1, "price": "5.00"}],
    )
    if is_cancel:
        await shop.until_pending(order_id)
        await shop.change(order_id, "cancel", reason="changed my mind")
    ends = {"refund": ("failed", "REFUNDED"), "cancel": ("canceled", "VOIDED")}
    assert await shop.until_ended(order_id) == ends.get(operation, ("shipped", "CHARGED"))
    assert not (await shop.call("faults"))[operation]


async def test_rate_limit_is_waited_for_as_long_as_stripe_asks(shop: StripeShop) -> None:
    body = '{"error": {"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests"}}'
    await shop.call("fail_next", "confirm", {"status": 429, "body": body, "headers": {"Retry-After": "2"}})
    began = time.monotonic()
    await shop.order("str-17")
    assert await shop.until_ended("str-17") == ("shipped", "CHARGED")
    assert time.monotonic() - began >= 2, "the policy alone waits 0.2 s"


async def test_replaced_api_key_is_used_by_running_orders(shop: StripeShop) -> None:
    await shop.call("accept_keys", "sk_test_rotated")
    await shop.order("str-18")
    await shop.until("str-18", lambda status: "401" in (status["last_error"] or ""))
    shop.key_file.write_text("sk_test_rotated\n")
    assert await shop.until_ended("str-18") == ("shipped", "CHARGED")


async def test_reconciliation_records_what_webhooks_then_report_without_an_effect(shop: StripeShop) -> None:
    await shop.order("str-19")
    await shop.until_ended("str-19")
    await shop.refund("str-19", "5.00", "r1")
    await shop.call("webhooks.send_to", "", "")
    intent = await shop.intent("str-19")
    (refund,) = await shop.call("books.refunds_of", intent["id"])
    await shop.call("books.fail_refund", refund["id"])
    await shop.call("books.refund", {"payment_intent": intent["id"], "amount": "300"})
    await shop.call("books.win_dispute", (await shop.call("books.dispute", intent["id"]))["id"])
    code, output = await shop.orderfleet("payments", "reconcile", "--from", "1h", "-o", "json")
    assert (code, json.loads(output)["repaired"], json.loads(output)["differences"]) == (0, 4, [])
    recorded = await shop.payment("str-19")
    assert (recorded["refunded"], recorded["charged_back"]) == ("3.00", "0.00")
    await shop.send_webhooks()
    await shop.webhooks_are_sent()
    assert await shop.payment("str-19") == recorded


async def test_reconciliation_finds_no_difference(shop: StripeShop) -> None:
    """Last: it compares the orders of the tests above that ran in this process."""
    await shop.webhooks_are_sent()
    code, output = await shop.orderfleet("payments", "reconcile", "--from", "1h", "-o", "json")
    assert (code, json.loads(output)["differences"]) == (0, [])
    assert json.loads(output)["found"] == 0
    assert json.loads(output)["compared"] > 0
