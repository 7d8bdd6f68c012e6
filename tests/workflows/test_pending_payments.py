"""A payment that waits for the customer: the order shows where and until when, and continues with its outcome."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from orderfleet.domain.errors import ProviderUnavailable
from orderfleet.domain.order import CaptureMode, PaymentTerms
from orderfleet.domain.policy import OutagePolicy
from orderfleet.domain.status import OrderStatus, PaymentStatus, Step
from orderfleet.services.errors import ChangeResult
from orderfleet.services.workflow_client import Change
from support.factories import ADDRESS, AUTO, quick_policy
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
