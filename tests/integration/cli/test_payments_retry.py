"""`orderfleet payments retry`, and how a held order and a pending payment are shown."""

from __future__ import annotations

from orderfleet.domain.errors import PaymentRefused
from orderfleet.domain.status import PaymentStatus
from support.polling import eventually
from support.scripted_providers import fails


async def test_held_order_is_shown_with_its_remedy_and_retried(orderfleet, workflow_env, order_id):
    workflow_env.provider.capturing.before.append(fails(PaymentRefused("no [funds]")))
    started = await orderfleet("order", "start", order_id, "--capture", "onShipment", "--payment-method", "card-1")
    assert started.code == 0, started.err
    early = await orderfleet("payments", "retry", order_id)
    assert early.code == 4
    assert "does not wait for its payment to be captured" in early.err
    assert (await orderfleet("order", "approve", order_id)).code == 0
    await workflow_env.until_recorded(order_id, lambda status: status.hold is not None)

    shown = (await orderfleet("order", "status", order_id)).out
    assert "payment_required since" in shown
    assert "no [funds]" in shown
    assert "retry the payment" in shown
    described = (await orderfleet("order", "describe", order_id)).out
    assert "payment_required" in described
    assert "parked" in described

    retried = await orderfleet("payments", "retry", f"order-{order_id}", "--method", "card-2")
    assert (retried.code, retried.out) == (0, f"order {order_id} is capturing its payment again\n"), retried.err
    assert (await orderfleet("order", "watch", order_id)).out.splitlines()[-1].split("  ")[1] == "shipped"


async def test_pending_payment_is_shown_with_its_page_and_end(orderfleet, workflow_env, order_id):
    started = await orderfleet("order", "start", order_id, "--payment-method", "pending", "-o", "json")
    assert started.code == 0, started.err
    assert (await orderfleet("order", "approve", order_id)).code == 0
    await workflow_env.until_recorded(order_id, lambda status: status.payment.status is PaymentStatus.PENDING)
    shown = (await orderfleet("order", "status", order_id)).out
    assert "waits for the customer at https://" in shown
    assert " until " in shown
    assert (await orderfleet("order", "cancel", order_id)).code == 0

    async def ended() -> bool:
        return "canceled" in (await orderfleet("order", "status", order_id)).out

    await eventually(ended)


async def test_unknown_capture_of_the_command_line_names_the_allowed_ones(orderfleet, order_id):
    wrong = await orderfleet("order", "start", order_id, "--capture", "later")
    assert wrong.code == 2
    assert "'immediate', 'onShipment'" in wrong.err
