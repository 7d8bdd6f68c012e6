"""A payment that waits for the customer: the order shows where and until when, and continues with its outcome."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from orderfleet.domain import names
from orderfleet.domain.errors import ProviderUnavailable
from orderfleet.domain.ledger import EntryKind, IntentStatus, PaymentDetail
from orderfleet.domain.order import CaptureMode, PaymentTerms
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.policy import OutagePolicy
from orderfleet.domain.refunds import RefundResult
from orderfleet.domain.status import OrderStatus, PaymentStatus, Step
from orderfleet.services.errors import ChangeResult
from orderfleet.services.workflow_client import Change
from orderfleet.store.payment_reads import PaymentReads
from orderfleet.store.writes import OrderWrites
from support.factories import ADDRESS, AUTO, quick_policy
from support.ledger_rows import fact
from support.polling import eventually
from support.scripted_providers import fails
from support.workflow_env import WorkflowTestEnv

MODES = pytest.mark.parametrize("capture", CaptureMode)


async def pending(
    env: WorkflowTestEnv, order_id: str, capture: CaptureMode = CaptureMode.IMMEDIATE, **changes: Any
) -> WorkflowHandle[Any, OrderStatus]:
    """Start an order whose payment waits for the customer, and wait until it does."""
    terms = PaymentTerms(method="pending", capture=capture)
    handle = await env.start(env.order(order_id, **{"review": AUTO, "payment": terms, **changes}))
    await env.until_recorded(order_id, lambda status: status.payment.status is PaymentStatus.PENDING)
    return handle


@MODES
async def test_pending_payment_shows_its_page_and_end_and_ships_once_paid(
    workflow_env: WorkflowTestEnv, capture: CaptureMode
) -> None:
    order_id = f"pend-1-{capture}".lower()
    handle = await pending(workflow_env, order_id, capture)
    status, live = (await workflow_env.recorded(order_id)).status, await workflow_env.client.status(order_id)
    assert (status.step, status.payment.pending) == (Step.CHARGE, live.payment.pending)
    assert status.payment.pending is not None
    assert status.payment.pending.url.startswith("https://")
    assert status.payment.pending.until is not None
    assert not workflow_env.provider.charges

    workflow_env.provider.ledger.confirm(f"pay-{order_id}")
    await handle.signal("payment_update")
    ended = await handle.result()
    recorded = (await workflow_env.recorded(order_id)).status
    assert (ended.step, ended.payment.status, ended.payment.pending) == (Step.SHIPPED, PaymentStatus.CHARGED, None)
    assert (recorded.payment.status, recorded.payment.pending) == (PaymentStatus.CHARGED, None)
    assert str(workflow_env.provider.money(f"pay-{order_id}")) == "19.98"
    kinds = await workflow_env.kinds(order_id)
    assert kinds.count("payment_pending") == kinds.count("shipped") == 1


async def test_pending_payment_is_asked_for_without_a_notice(workflow_env: WorkflowTestEnv) -> None:
    policy = quick_policy(workflow_env.settings, payment_look_ups=OutagePolicy(first="50ms", longest="200ms"))
    handle = await pending(workflow_env, "pend-2", policy=policy)
    workflow_env.provider.looking_up.before += [fails(ProviderUnavailable("closed"))] * 4
    workflow_env.provider.ledger.confirm("pay-pend-2")
    assert (await handle.result()).step is Step.SHIPPED
    assert str(workflow_env.provider.money("pay-pend-2")) == "19.98"


@MODES
async def test_pending_payment_that_fails_fails_the_order(workflow_env: WorkflowTestEnv, capture: CaptureMode) -> None:
    order_id = f"pend-3-{capture}".lower()
    handle = await pending(workflow_env, order_id, capture)
    workflow_env.provider.ledger.fail(f"pay-{order_id}")
    await handle.signal("payment_update")
    ended = await workflow_env.until_recorded(order_id, lambda status: status.ended)
    # The customer could still try again at the provider, so the payment is voided.
    assert (ended.step, ended.payment.status, ended.payment.pending) == (Step.FAILED, PaymentStatus.VOIDED, None)
    assert workflow_env.provider.money(f"pay-{order_id}") == 0
    assert {"charge_unknown", "payment_voided"} <= set(await workflow_env.kinds(order_id))


@MODES
async def test_pending_payment_that_is_voided_at_the_provider_fails_the_order(
    workflow_env: WorkflowTestEnv, capture: CaptureMode
) -> None:
    order_id = f"pend-14-{capture}".lower()
    handle = await pending(workflow_env, order_id, capture)
    of = PaymentIntent(payment_id=f"pay-{order_id}", order_id=order_id, amount=1998, currency="USD")
    await workflow_env.provider.void(of)
    await handle.signal("payment_update")
    ended = await workflow_env.until_recorded(order_id, lambda status: status.settled)
    assert (ended.step, ended.payment.status, ended.payment.pending) == (Step.FAILED, PaymentStatus.VOIDED, None)
    (payment,) = await PaymentReads(workflow_env.database).payments_of_order(order_id)
    assert [entry.kind for entry in payment.entries] == [EntryKind.VOIDED]


@MODES
async def test_pending_payment_that_lapses_is_voided_and_cancels_the_order(
    skipping_env: WorkflowTestEnv, capture: CaptureMode
) -> None:
    order_id = f"pend-4-{capture}".lower()
    terms = PaymentTerms(method="pending:12h", capture=capture)
    status = await (await skipping_env.start(skipping_env.order(order_id, review=AUTO, payment=terms))).result()
    assert status.step is Step.CANCELED
    assert status.cancel_reason == "the customer did not complete the payment in time"
    assert (status.payment.status, status.payment.pending) == (PaymentStatus.VOIDED, None)
    assert f"pay-{order_id}" in skipping_env.provider.voided
    assert status.completed_at is not None
    # The provider's clock is the real one, and the server's skips time.
    assert timedelta(hours=11) <= status.completed_at - status.created_at < timedelta(hours=13)


@MODES
async def test_cancel_of_a_pending_payment_voids_it(workflow_env: WorkflowTestEnv, capture: CaptureMode) -> None:
    order_id = f"pend-5-{capture}".lower()
    handle = await pending(workflow_env, order_id, capture)
    assert await workflow_env.client.change(order_id, Change.cancel("changed my mind")) is ChangeResult.ACCEPTED
    status = await handle.result()
    assert (status.step, status.payment.status) == (Step.CANCELED, PaymentStatus.VOIDED)
    recorded = (await workflow_env.recorded(order_id)).status
    assert (recorded.payment.status, recorded.payment.pending) == (PaymentStatus.VOIDED, None)
    assert not workflow_env.provider.charges


async def test_paid_at_the_moment_of_the_cancel_is_refunded(workflow_env: WorkflowTestEnv) -> None:
    handle = await pending(workflow_env, "pend-6")
    workflow_env.provider.ledger.confirm("pay-pend-6")
    await workflow_env.client.change("pend-6", Change.cancel("changed my mind"))
    status = await handle.result()
    assert status.step is Step.CANCELED
    assert workflow_env.provider.money("pay-pend-6") == 0


async def test_pending_order_continues_as_new_and_ships(workflow_env: WorkflowTestEnv) -> None:
    handle = await pending(workflow_env, "pend-7", policy=quick_policy(workflow_env.settings, changes_per_run=2))
    for number in range(3):
        change = Change.update_address(ADDRESS.model_copy(update={"street": f"{number} Long St"}))
        await workflow_env.client.change("pend-7", change)
    await eventually(handle.describe, lambda described: described.run_id != handle.first_execution_run_id)
    workflow_env.provider.ledger.confirm("pay-pend-7")
    await handle.signal("payment_update")
    status = await handle.result()
    assert (status.step, status.address.street) == (Step.SHIPPED, "2 Long St")
    assert (await workflow_env.kinds("pend-7")).count("charge_started") == 1
    assert str(workflow_env.provider.money("pay-pend-7")) == "19.98"


async def test_pending_until_names_no_end_ends_by_the_policy(skipping_env: WorkflowTestEnv) -> None:
    policy = quick_policy(skipping_env.settings, payment_pending=timedelta(hours=2))
    terms = PaymentTerms(method="confirm:24h")
    order = skipping_env.order("pend-8", review=AUTO, payment=terms, policy=policy)
    status = await (await skipping_env.start(order)).result()
    assert (status.step, status.payment.status) == (Step.CANCELED, PaymentStatus.VOIDED)
    assert status.completed_at is not None
    assert timedelta(hours=2) <= status.completed_at - status.created_at < timedelta(hours=3)


NOT_YET = fails(ProviderUnavailable("the transfer is in process and can't be canceled yet"))
GROWING = OutagePolicy(first="1s", longest="1h")


async def end_unvoided(env: WorkflowTestEnv, order_id: str, capture: CaptureMode) -> OrderStatus:
    """Run an order to its end whose payment is pending, and can be neither paid in time nor voided yet."""
    env.provider.voiding.always = NOT_YET
    policy = quick_policy(env.settings, retry_forever_backoff=GROWING)
    terms = PaymentTerms(method="pending:12h", capture=capture)
    return await (await env.start(env.order(order_id, review=AUTO, payment=terms, policy=policy))).result()


async def voided(env: WorkflowTestEnv, order_id: str) -> tuple[RefundResult, PaymentDetail]:
    """Let the provider void the order's payment; return the result of the void's workflow, and the ledger after it."""
    env.provider.voiding.always = None
    workflow_id = names.refund_workflow_id(f"pay-{order_id}")
    result = await env.temporal.get_workflow_handle(workflow_id, result_type=RefundResult).result()
    (payment,) = await PaymentReads(env.database).payments_of_order(order_id)
    return result, payment


@MODES
async def test_order_ends_before_its_pending_payment_can_be_voided(
    skipping_env: WorkflowTestEnv, capture: CaptureMode
) -> None:
    order_id = f"pend-9-{capture}".lower()
    ended = await end_unvoided(skipping_env, order_id, capture)
    assert (ended.step, ended.payment.status, ended.payment.pending) == (Step.CANCELED, PaymentStatus.PENDING, None)
    assert ended.completed_at is not None
    assert timedelta(hours=11) <= ended.completed_at - ended.created_at < timedelta(hours=13)
    recorded = (await skipping_env.recorded(order_id)).status
    assert (recorded.ended, recorded.settled, recorded.payment.pending) == (True, False, None)
    (waiting,) = await PaymentReads(skipping_env.database).payments_of_order(order_id)
    assert waiting.pending is not None
    assert (waiting.fenced_at is not None, waiting.pending.url) == (True, "")

    result, payment = await voided(skipping_env, order_id)
    assert (result.status, result.payment) == (IntentStatus.DONE, PaymentStatus.VOIDED)
    assert (payment.status, payment.captured, payment.pending) == (PaymentStatus.VOIDED, 0, None)
    recorded = (await skipping_env.recorded(order_id)).status
    assert (recorded.step, recorded.payment.status, recorded.settled) == (Step.CANCELED, PaymentStatus.VOIDED, True)
    assert skipping_env.provider.money(f"pay-{order_id}") == 0
    assert (await skipping_env.kinds(order_id)).count("payment_voided") == 1


@pytest.mark.parametrize("reported", [True, False])
@MODES
async def test_payment_that_succeeds_after_the_end_of_its_order_is_returned(
    skipping_env: WorkflowTestEnv, capture: CaptureMode, reported: bool
) -> None:
    """The customer pays in time for the provider; it reports that by a webhook, or the void finds it."""
    order_id = f"pend-10-{capture}-{reported}".lower()
    await end_unvoided(skipping_env, order_id, capture)
    skipping_env.provider.ledger.confirm(f"pay-{order_id}")
    if reported:
        kind = EntryKind.CAPTURED if capture is CaptureMode.IMMEDIATE else EntryKind.AUTHORIZED
        entry = fact(kind, f"pay-{order_id}", 1998)
        paid = await OrderWrites(skipping_env.database).record_fact(f"pay-{order_id}", entry)
        assert paid is not None
        assert paid.status in {PaymentStatus.CHARGED, PaymentStatus.AUTHORIZED}
        assert not (await skipping_env.recorded(order_id)).status.settled

    result, payment = await voided(skipping_env, order_id)
    taken = 1998 if capture is CaptureMode.IMMEDIATE else 0
    returned = PaymentStatus.REFUNDED if taken else PaymentStatus.VOIDED
    assert (result.payment, payment.status) == (returned, returned)
    assert (payment.authorized, payment.captured, payment.refunded) == (taken, taken, taken)
    recorded = (await skipping_env.recorded(order_id)).status
    assert (recorded.step, recorded.payment.status, recorded.settled) == (Step.CANCELED, returned, True)
    assert skipping_env.provider.money(f"pay-{order_id}") == 0


async def test_void_that_the_order_cannot_make_is_made_before_its_end_if_it_takes_seconds(
    workflow_env: WorkflowTestEnv,
) -> None:
    handle = await pending(workflow_env, "pend-11")
    workflow_env.provider.voiding.before += [NOT_YET] * 8
    assert await workflow_env.client.change("pend-11", Change.cancel("changed my mind")) is ChangeResult.ACCEPTED
    status = await handle.result()
    assert (status.step, status.payment.status) == (Step.CANCELED, PaymentStatus.VOIDED)
    assert await workflow_env.temporal.get_workflow_handle(names.refund_workflow_id("pay-pend-11")).result()


async def test_pending_payment_that_fails_and_cannot_be_voided_yet_fails_the_order(
    workflow_env: WorkflowTestEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orderfleet.orders.payment.REFUND_WAIT", timedelta(milliseconds=100))
    await pending(workflow_env, "pend-12")
    workflow_env.provider.voiding.always = NOT_YET
    workflow_env.provider.ledger.fail("pay-pend-12")
    await workflow_env.handle("pend-12").signal("payment_update")
    ended = await workflow_env.until_recorded("pend-12", lambda status: status.ended)
    assert (ended.step, ended.payment.status) == (Step.FAILED, PaymentStatus.PENDING)
    result, payment = await voided(workflow_env, "pend-12")
    assert (result.payment, payment.status) == (PaymentStatus.VOIDED, PaymentStatus.VOIDED)


async def test_void_whose_answer_was_lost_is_recorded_once(workflow_env: WorkflowTestEnv) -> None:
    handle = await pending(workflow_env, "pend-13")
    workflow_env.provider.voiding.after += [fails(ProviderUnavailable("answer lost"))] * 4
    await workflow_env.client.change("pend-13", Change.cancel("changed my mind"))
    assert (await handle.result()).payment.status is PaymentStatus.VOIDED
    (payment,) = await PaymentReads(workflow_env.database).payments_of_order("pend-13")
    assert [entry.kind for entry in payment.entries] == [EntryKind.VOIDED]
    assert (await workflow_env.kinds("pend-13")).count("payment_voided") == 1
