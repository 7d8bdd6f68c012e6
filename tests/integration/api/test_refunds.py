"""`/orders/{id}/refunds` and `/orders/{id}/payment`: parts of a payment are refunded, never more than was captured."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from temporalio.client import WorkflowFailureError

from orderfleet.domain import names
from orderfleet.domain.errors import PaymentRefused, ProviderUnavailable
from support.factories import ADDRESS_JSON
from support.metric_samples import metric_changes
from support.polling import eventually
from support.scripted_providers import Gate, ScriptedPayments, fails
from support.workflow_env import workflow_test_env

PROBLEM = "urn:orderfleet:problem:"
ITEMS = [{"id": "tea", "sku": "tea-100", "qty": 3, "price": "0.3333"}, {"sku": "cup-1", "qty": 1, "price": "8.00"}]
ADJUSTMENTS = [
    {"kind": "shipping", "amount": "4.90"},
    {"kind": "tax", "amount": "0.07", "line": "tea"},
    {"kind": "discount", "amount": "-1.00"},
]
"""Tea is worth 0.95, the cup 7.12, shipping 4.90; together 12.97."""


@pytest.fixture
def shipped(new_order, until):
    """Returns a function that ships an order and returns once that is recorded."""

    async def ship(caller: httpx.AsyncClient, order_id: str, **changes: Any) -> None:
        given = {"items": ITEMS, "adjustments": ADJUSTMENTS, "review": {"mode": "auto"}, **changes}
        await new_order(caller, order_id, **given)
        await until(caller, order_id, "shipped")
        await eventually(lambda: caller.get(f"/orders/{order_id}"), lambda answer: answer.json()["completed_at"])

    return ship


async def ask(caller: httpx.AsyncClient, order_id: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
    return await caller.post(f"/orders/{order_id}/refunds", json=body, headers=headers)


async def payment(caller: httpx.AsyncClient, order_id: str) -> dict[str, Any]:
    answer = await caller.get(f"/orders/{order_id}/payment")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def until_refunded(caller: httpx.AsyncClient, order_id: str, amount: str) -> dict[str, Any]:
    return await eventually(
        lambda: payment(caller, order_id), lambda found: found["refunded"] == amount and found["status"] != "REFUNDING"
    )


async def problem(answer: httpx.Response) -> tuple[int, str, str]:
    body = answer.json()
    return answer.status_code, body["type"].removeprefix(PROBLEM), body["detail"]


async def test_amount_is_refunded_after_the_end_of_the_order(api, workflow_env, order_id, shipped):
    async with api() as caller:
        await shipped(caller, order_id)
        answer = await ask(caller, order_id, amount="4.50", reason="late", refund_id="r1")
        assert answer.status_code == 201, answer.text
        body = answer.json()
        assert (body["result"], body["message"]) == ("accepted", f"4.50 USD of order {order_id} are refunded")
        assert {name: body["refund"][name] for name in ("refund_id", "amount", "shortfall", "lines", "reason")} == {
            "refund_id": "r1",
            "amount": "4.50",
            "shortfall": "0.00",
            "lines": [],
            "reason": "late",
        }
        found = await until_refunded(caller, order_id, "4.50")
        assert (found["status"], found["captured"], found["refundable"]) == ("PARTIALLY_REFUNDED", "12.97", "8.47")
        assert [(each["kind"], each["amount"]) for each in found["entries"]] == [
            ("captured", "12.97"),
            ("refunded", "4.50"),
        ]
        (refund,) = (await caller.get(f"/orders/{order_id}/refunds")).json()["refunds"]
        assert (refund["status"], refund["failure"]) == ("refunded", "")
        assert refund["ended_at"] >= refund["created_at"]
        for path in (f"/orders/{order_id}", f"/orders/{order_id}/status"):
            status = (await caller.get(path)).json()
            assert (status["payment"]["status"], status["payment"]["refunded"]) == ("PARTIALLY_REFUNDED", "4.50")
    events = [(each.kind, each.detail) for each in await workflow_env.events(order_id) if "refund" in each.detail]
    assert [kind for kind, _ in events] == ["refund_pending", "refunded"]
    assert events[1][1] == {"payment": f"pay-{order_id}", "refund": "r1", "amount": "4.50", "reason": "late"}


async def test_lines_are_refunded_with_their_shares_and_shipping_only_if_named(api, workflow_env, order_id, shipped):
    async with api() as caller:
        await shipped(caller, order_id)
        # Pieces 1 and 2 of 0.95: 0.95 - 0.31.
        first = (await ask(caller, order_id, lines=[{"line": "tea", "qty": 2}])).json()["refund"]
        assert (first["amount"], first["lines"]) == ("0.64", [{"line": "tea", "qty": 2}])
        second = (await ask(caller, order_id, lines=[{"line": "tea"}, {"line": "2"}])).json()["refund"]
        assert second["amount"] == "7.43"
        found = await until_refunded(caller, order_id, "8.07")
        assert found["refundable"] == "4.90"
        third = (await ask(caller, order_id, lines=[{"line": "shipping"}])).json()["refund"]
        assert third["amount"] == "4.90"
        found = await until_refunded(caller, order_id, "12.97")
        assert (found["status"], found["refundable"]) == ("REFUNDED", "0.00")


async def test_pieces_are_refunded_once(api, workflow_env, order_id, shipped):
    async with api() as caller:
        await shipped(caller, order_id)
        assert (await ask(caller, order_id, lines=[{"line": "tea", "qty": 2}])).status_code == 201
        status, kind, detail = await problem(await ask(caller, order_id, lines=[{"line": "tea", "qty": 2}]))
        assert (status, kind) == (409, "not-refundable")
        assert detail == "fewer than 2 pieces of line 'tea' are left to refund; 12.33 USD can be refunded"


async def test_lines_worth_more_than_what_is_left_pay_what_is_left(api, workflow_env, order_id, shipped):
    async with api() as caller:
        await shipped(caller, order_id)
        assert (await ask(caller, order_id, amount="10.00")).status_code == 201
        refund = (await ask(caller, order_id, lines=[{"line": "2"}])).json()["refund"]
        assert (refund["amount"], refund["shortfall"]) == ("2.97", "4.15")
        await until_refunded(caller, order_id, "12.97")


async def test_equal_refunds_without_an_id_are_two_and_their_sum_is_exact(api, workflow_env, order_id, shipped):
    async with api() as caller:
        await shipped(caller, order_id)
        answers = [await ask(caller, order_id, amount="1.00") for _ in range(2)]
        assert [each.status_code for each in answers] == [201, 201]
        assert len({each.json()["refund_id"] for each in answers}) == 2
        await until_refunded(caller, order_id, "2.00")
    refunds = [each for each in workflow_env.provider.ledger.entries(f"pay-{order_id}") if each.kind == "refund"]
    assert [each.amount for each in refunds] == [Decimal("1.00")] * 2


@pytest.mark.parametrize("with_key", [True, False])
async def test_repeated_refund_is_the_same_and_other_content_is_409(api, workflow_env, order_id, shipped, with_key):
    headers, given = ({"Idempotency-Key": "my key"}, {}) if with_key else (None, {"refund_id": "r1"})
    async with api() as caller:
        await shipped(caller, order_id)
        first = await ask(caller, order_id, headers, amount="1.00", **given)
        await until_refunded(caller, order_id, "1.00")
        again = await ask(caller, order_id, headers, amount="1.00", **given)
        assert (first.status_code, again.status_code) == (201, 201)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert "Idempotency-Replayed" not in first.headers
        assert again.json()["refund_id"] == first.json()["refund_id"]
        assert again.json()["refund"]["status"] == "refunded"
        other = await ask(caller, order_id, headers, amount="2.00", **given)
        assert (await problem(other))[:2] == (409, "refund-id-conflict")
        assert (await payment(caller, order_id))["refunded"] == "1.00"


async def test_other_content_is_409_while_the_refund_runs(api, workflow_env, order_id, shipped):
    gate = Gate()
    async with api() as caller:
        await shipped(caller, order_id)
        workflow_env.provider.refunding.before.append(gate)
        assert (await ask(caller, order_id, amount="1.00", refund_id="r1")).status_code == 201
        await gate.reached.wait()
        again = await ask(caller, order_id, amount="1.00", refund_id="r1")
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")
        assert (await problem(await ask(caller, order_id, amount="2.00", refund_id="r1")))[:2] == (
            409,
            "refund-id-conflict",
        )
        pending = await payment(caller, order_id)
        assert (pending["status"], pending["refundable"], pending["refunded"]) == ("REFUNDING", "11.97", "0.00")
        gate.opened.set()
        await until_refunded(caller, order_id, "1.00")


async def test_refund_of_more_than_is_left_is_409_and_its_id_can_be_used_again(api, workflow_env, order_id, shipped):
    async with api() as caller:
        await shipped(caller, order_id)
        rejected = await ask(caller, order_id, amount="13.00", refund_id="r1")
        assert await problem(rejected) == (
            409,
            "not-refundable",
            "13.00 USD cannot be refunded; 12.97 USD can be refunded",
        )
        assert (await ask(caller, order_id, amount="12.97", refund_id="r1")).status_code == 201
        found = await until_refunded(caller, order_id, "12.97")
        assert found["status"] == "REFUNDED"
        assert (await problem(await ask(caller, order_id, amount="0.01")))[2].endswith("0.00 USD can be refunded")


async def test_refunds_at_the_same_moment_never_exceed_what_was_captured(api, workflow_env, order_id, shipped):
    async with api() as caller, api() as other:
        await shipped(caller, order_id)
        answers = await asyncio.gather(*(ask(each, order_id, amount="4.00") for each in (caller, other) * 4))
        assert sorted(each.status_code for each in answers) == [201] * 3 + [409] * 5
        found = await until_refunded(caller, order_id, "12.00")
        assert found["refundable"] == "0.97"
    refunds = [each for each in workflow_env.provider.ledger.entries(f"pay-{order_id}") if each.kind == "refund"]
    assert len(refunds) == 3


async def test_part_is_refunded_while_the_order_runs_and_the_rest_when_it_is_canceled(
    api, workflow_env, order_id, new_order, until
):
    gate = Gate()
    workflow_env.carrier.booking.before.append(gate)
    workflow_env.carrier.held_back.add(f"ship-{order_id}")
    async with api() as caller:
        await new_order(caller, order_id, items=ITEMS, adjustments=ADJUSTMENTS, review={"mode": "auto"})
        await gate.reached.wait()
        assert (await ask(caller, order_id, amount="2.97")).status_code == 201
        await until_refunded(caller, order_id, "2.97")
        for path in (f"/orders/{order_id}", f"/orders/{order_id}/status"):
            shown = await eventually(
                lambda path=path: caller.get(path), lambda answer: answer.json()["payment"]["refunded"] == "2.97"
            )
            assert shown.json()["payment"]["status"] == "PARTIALLY_REFUNDED"
        assert shown.json()["source"] == "workflow"
        assert (await caller.post(f"/orders/{order_id}/cancel")).status_code in {200, 202}
        gate.opened.set()
        await until(caller, order_id, "canceled")
        found = await until_refunded(caller, order_id, "12.97")
        assert found["status"] == "REFUNDED"
        assert [each["amount"] for each in found["refunds"]] == ["2.97", "10.00"]
        assert (await problem(await ask(caller, order_id, amount="0.01")))[1] == "not-refundable"


async def test_refund_before_the_charge_is_409(api, workflow_env, order_id, new_order, until):
    async with api() as caller:
        await new_order(caller, order_id)
        await until(caller, order_id, "manual_review")
        for body in ({"amount": "1.00"}, {"lines": [{"line": "1"}]}):
            status, kind, detail = await problem(await ask(caller, order_id, **body))
            assert (status, kind) == (409, "not-refundable")
            assert detail == f"payment 'pay-{order_id}' was not charged yet, so nothing can be refunded"
        found = await payment(caller, order_id)
        assert (found["status"], found["captured"], found["entries"]) == (None, "0.00", [])
        assert (await caller.get(f"/orders/{order_id}/refunds")).json()["refunds"] == []


async def test_unknown_order_is_404(api, workflow_env, order_id):
    async with api() as caller:
        assert (await ask(caller, order_id, amount="1.00")).status_code == 404
        for path in ("refunds", "payment"):
            assert (await caller.get(f"/orders/{order_id}/{path}")).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "amount"),
        ({"amount": "1.00", "lines": [{"line": "2"}]}, "lines"),
        ({"amount": "1.005"}, "amount"),
        ({"amount": "0"}, "amount"),
        ({"amount": "-1.00"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": True}, "amount"),
        ({"lines": [{"line": "3"}]}, "lines[0].line"),
        ({"lines": [{"line": "2", "qty": 2}]}, "lines[0].qty"),
        ({"lines": [{"line": "2", "qty": 0}]}, "lines[0].qty"),
        ({"lines": [{"line": "2"}, {"line": "2"}]}, "lines[1].line"),
        ({"lines": []}, "amount"),
        ({"amount": "1.00", "refund_id": "a/b"}, "refund_id"),
        ({"amount": "1.00", "refund_id": "order"}, "refund_id"),
        ({"amount": "1.00", "ammount": "2.00"}, "ammount"),
    ],
)
async def test_wrong_field_is_422_that_names_it(api, workflow_env, order_id, new_order, until, body, field):
    async with api() as caller:
        await new_order(caller, order_id, items=ITEMS, adjustments=ADJUSTMENTS)
        await until(caller, order_id, "manual_review")
        answer = await ask(caller, order_id, **body)
        assert answer.status_code == 422, answer.text
        assert [each["field"] for each in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("currency", "price", "amount", "too_fine"), [("JPY", "500", "99", "99.5"), ("KWD", "1.500", "0.001", "0.0001")]
)
async def test_amounts_have_the_decimals_of_their_currency(
    api, workflow_env, order_id, shipped, currency, price, amount, too_fine
):
    items = [{"sku": "tea-100", "qty": 1, "price": price}]
    async with api() as caller:
        await shipped(caller, order_id, items=items, adjustments=[], currency=currency)
        answer = await ask(caller, order_id, amount=too_fine)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "amount")
        assert (await ask(caller, order_id, amount=amount)).json()["refund"]["amount"] == amount
        await until_refunded(caller, order_id, amount)
        rest = Decimal(price) - Decimal(amount)
        assert (await ask(caller, order_id, amount=str(rest))).status_code == 201
        assert (await until_refunded(caller, order_id, price))["status"] == "REFUNDED"


async def test_refund_without_a_worker_is_queued_and_decided_later(
    api, order_id, shipped, temporal_client, postgres_url, task_queues
):
    def workers() -> Any:
        queues = (task_queues.orders, task_queues.shipping)
        return workflow_test_env(temporal_client, postgres_url, *queues, provider=provider)

    provider = ScriptedPayments()
    async with api(request_timeout=timedelta(seconds=10)) as caller:
        async with workers():
            await shipped(caller, order_id)
        answer = await ask(caller, order_id, amount="1.00", refund_id="r1")
        assert (answer.status_code, answer.json()["result"], answer.json()["refund"]) == (202, "queued", None)
        async with workers():
            await until_refunded(caller, order_id, "1.00")


async def test_refund_is_retried_while_the_provider_is_unavailable(api, workflow_env, order_id, shipped):
    async with api() as caller:
        await shipped(caller, order_id)
        workflow_env.provider.refunding.before += [fails(ProviderUnavailable("down"))] * 3
        workflow_env.provider.refunding.after.append(fails(ProviderUnavailable("answer lost")))
        assert (await ask(caller, order_id, amount="1.00")).status_code == 201
        await until_refunded(caller, order_id, "1.00")
    assert workflow_env.provider.refunds[f"pay-{order_id}"] == 1


async def test_refund_that_the_provider_refuses_fails_and_can_be_asked_for_again(
    api, workflow_env, order_id, shipped, temporal_client
):
    async with api() as caller:
        await shipped(caller, order_id)
        workflow_env.provider.refunding.always = fails(PaymentRefused("the card is closed"))
        with metric_changes() as samples:
            assert (await ask(caller, order_id, amount="12.97", refund_id="r1")).status_code == 201

            async def refund() -> dict[str, Any]:
                return (await payment(caller, order_id))["refunds"][0]

            failed = await eventually(refund, lambda found: found["status"] != "pending")
            assert (failed["status"], failed["failure"]) == ("failed", "the card is closed")
            # The refund is counted after it is recorded, and before its workflow ends.
            await temporal_client.get_workflow_handle(f"refund-pay-{order_id}/r1").result()
        assert samples("orderfleet_refunds_total", result="failed") == 1
        found = await payment(caller, order_id)
        assert (found["status"], found["refundable"]) == ("CHARGED", "12.97")
        event = next(each for each in await workflow_env.events(order_id) if each.kind == "refund_failed")
        assert (event.detail["refund"], event.detail["error"]) == ("r1", "the card is closed")
        workflow_env.provider.refunding.always = None
        again = await ask(caller, order_id, amount="12.97", refund_id="r1")
        assert (again.status_code, again.json()["refund"]["status"]) == (201, "failed")
        assert (await ask(caller, order_id, amount="12.97", refund_id="r2")).status_code == 201
        await until_refunded(caller, order_id, "12.97")


async def test_refund_is_made_when_another_client_has_its_workflow_id(
    api, workflow_env, order_id, shipped, temporal_client
):
    taken = names.refund_workflow_id(f"pay-{order_id}", refund_id="r1")
    foreign = await temporal_client.start_workflow("Another", id=taken, task_queue="a-queue-without-workers")
    async with api() as caller:
        await shipped(caller, order_id)
        assert (await ask(caller, order_id, amount="1.00", refund_id="r1")).status_code == 201
        await until_refunded(caller, order_id, "1.00")
    await foreign.terminate()


async def test_refund_whose_workflow_was_terminated_continues_when_it_is_asked_for_again(
    api, workflow_env, order_id, shipped, temporal_client
):
    gate = Gate()
    async with api() as caller:
        await shipped(caller, order_id)
        workflow_env.provider.refunding.before.append(gate)
        assert (await ask(caller, order_id, amount="1.00", refund_id="r1")).status_code == 201
        await gate.reached.wait()
        handle = temporal_client.get_workflow_handle(names.refund_workflow_id(f"pay-{order_id}", refund_id="r1"))
        await handle.terminate()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        assert (await ask(caller, order_id, amount="1.00", refund_id="r1")).status_code == 201
        gate.opened.set()
        await until_refunded(caller, order_id, "1.00")
    refunds = [each for each in workflow_env.provider.ledger.entries(f"pay-{order_id}") if each.kind == "refund"]
    assert len(refunds) == 1


async def test_order_of_an_earlier_address_form_is_refunded_by_its_workflow_id(api, workflow_env, order_id, shipped):
    async with api() as caller:
        await shipped(caller, order_id, address=ADDRESS_JSON)
        answer = await ask(caller, f"order-{order_id}", amount="1.00")
        assert (answer.status_code, answer.json()["order_id"]) == (201, order_id)
