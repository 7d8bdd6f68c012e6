"""The scenarios of payments that are captured on shipment, held, pending, refunded in part or reconciled."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from temporalio.client import WorkflowHandle

from histories.lives import AUTO, HASTY, ends, life, refunded, while_gated
from orderfleet.domain import names
from orderfleet.domain.errors import (
    AuthorizationLapsed,
    CarrierRefused,
    PaymentRefused,
    PaymentsNotListed,
    ProviderUnavailable,
)
from orderfleet.domain.ledger import RefundLine
from orderfleet.domain.order import CaptureMode, PaymentTerms
from orderfleet.domain.payment import PaymentIntent
from orderfleet.domain.policy import OutagePolicy
from orderfleet.domain.reconciliation_run import Reconciliation
from orderfleet.domain.refunds import RefundOrder, RefundResult
from orderfleet.domain.status import OrderStatus, PaymentStatus
from orderfleet.services.workflow_client import Change
from support.factories import ADDRESS, quick_policy
from support.polling import eventually
from support.scripted_providers import Gate, fails, hangs
from support.workflow_env import WorkflowTestEnv

ON_SHIPMENT: Final = PaymentTerms(capture=CaptureMode.ON_SHIPMENT, method="card-1")
NO_FUNDS: Final = fails(PaymentRefused("no funds"))
PART: Final = "part"
"""Id of the partial refund of a life."""
RARELY: Final = OutagePolicy(first="1h", longest="1h")
AT_ONCE: Final = OutagePolicy(first="300ms", longest="1s")


async def _on_shipment(fleet: WorkflowTestEnv, order_id: str, **changes: Any) -> WorkflowHandle[Any, OrderStatus]:
    return await fleet.start(fleet.order(order_id, **{"review": AUTO, "payment": ON_SHIPMENT, **changes}))


@life
async def captured_on_shipment(fleet: WorkflowTestEnv, order_id: str) -> None:
    await ends(await _on_shipment(fleet, order_id))


@life
async def authorization_renewed(fleet: WorkflowTestEnv, order_id: str) -> None:
    fleet.provider.capturing.before.append(fails(AuthorizationLapsed("the authorization lapsed")))
    await ends(await _on_shipment(fleet, order_id))


@life
async def authorization_voided(fleet: WorkflowTestEnv, order_id: str) -> None:
    gate = Gate()
    fleet.provider.authorizing.after.append(gate)
    cancel = Change.cancel("too dear")
    await while_gated(gate, fleet, order_id, lambda _: fleet.client.change(order_id, cancel), payment=ON_SHIPMENT)


@life
async def canceled_during_the_capture(fleet: WorkflowTestEnv, order_id: str) -> None:
    gate = Gate()
    fleet.provider.capturing.before.append(gate)
    handle = await _on_shipment(fleet, order_id)
    await gate.reached.wait()
    await fleet.client.change(order_id, Change.cancel("too dear"))
    # The order does not wait for the answer to the capture.
    await ends(handle)
    gate.opened.set()


@life
async def dispatch_failed_after_the_capture(fleet: WorkflowTestEnv, order_id: str) -> None:
    fleet.carrier.booking.before += [fails(CarrierRefused("no vans"))] * 2
    await ends(await _on_shipment(fleet, order_id))
    await refunded(fleet, order_id)


async def _held(fleet: WorkflowTestEnv, order_id: str, **changes: Any) -> WorkflowHandle[Any, OrderStatus]:
    """Start an order whose first capture is refused, and wait until it is held."""
    fleet.provider.capturing.before.append(NO_FUNDS)
    handle = await _on_shipment(fleet, order_id, **changes)
    await fleet.until_recorded(order_id, lambda status: status.hold is not None)
    return handle


@life
async def capture_refused(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await _held(fleet, order_id)
    await fleet.client.change(order_id, Change.retry_payment("card-2"))
    await ends(handle)


@life
async def capture_retried_by_signal(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await _held(fleet, order_id)
    await handle.signal(names.RETRY_PAYMENT)
    await ends(handle)


@life
async def capture_unknown(fleet: WorkflowTestEnv, order_id: str) -> None:
    fleet.provider.capturing.after.append(hangs)
    fleet.provider.looking_up.before.append(hangs)
    await ends(
        await _on_shipment(fleet, order_id, policy=quick_policy(fleet.settings, capture=HASTY, capture_retries=AT_ONCE))
    )


@life
async def hold_timed_out(fleet: WorkflowTestEnv, order_id: str) -> None:
    policy = quick_policy(fleet.settings, payment_hold=timedelta(seconds=2))
    await ends(await _held(fleet, order_id, policy=policy))


@life
async def canceled_while_held(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await _held(fleet, order_id)
    await fleet.client.change(order_id, Change.cancel("too dear"))
    await ends(handle)


async def _continues(fleet: WorkflowTestEnv, order_id: str, handle: WorkflowHandle[Any, OrderStatus]) -> None:
    """Change an order whose runs take two changes, and wait for its next run."""
    first, second = (ADDRESS.model_copy(update={"street": street}) for street in ("1 Long St", "2 Long St"))
    await fleet.client.change(order_id, Change.update_address(first))
    await fleet.until_recorded(order_id, lambda status: status.address == first)
    await fleet.client.change(order_id, Change.update_address(second))
    await eventually(handle.describe, lambda described: described.run_id != handle.first_execution_run_id)


@life
async def held_continued_as_new(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await _held(fleet, order_id, policy=quick_policy(fleet.settings, changes_per_run=2))
    await _continues(fleet, order_id, handle)
    await fleet.client.change(order_id, Change.retry_payment())
    await ends(handle)


async def _pending(
    fleet: WorkflowTestEnv, order_id: str, method: str = "pending", **policy: Any
) -> WorkflowHandle[Any, OrderStatus]:
    """Start an order whose payment waits for the customer, and wait until it does."""
    policy = {"payment_look_ups": RARELY, **policy}
    order = fleet.order(
        order_id, review=AUTO, payment=PaymentTerms(method=method), policy=quick_policy(fleet.settings, **policy)
    )
    handle = await fleet.start(order)
    await fleet.until(order_id, lambda status: status.payment.status is PaymentStatus.PENDING)
    return handle


@life
async def pending_confirmed(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await _pending(fleet, order_id)
    fleet.provider.ledger.confirm(names.default_payment_id(order_id))
    await handle.signal(names.PAYMENT_UPDATE)
    await ends(handle)


@life
async def pending_looked_up(fleet: WorkflowTestEnv, order_id: str) -> None:
    gate = Gate()
    # More than the attempts of a look-up, so that another one follows.
    fleet.provider.looking_up.before += [fails(ProviderUnavailable("closed"))] * 3 + [gate]
    handle = await _pending(fleet, order_id, payment_look_ups=AT_ONCE)
    await gate.reached.wait()
    fleet.provider.ledger.confirm(names.default_payment_id(order_id))
    gate.opened.set()
    await ends(handle)


@life
async def pending_failed(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await _pending(fleet, order_id)
    fleet.provider.ledger.fail(names.default_payment_id(order_id))
    await handle.signal(names.PAYMENT_UPDATE)
    await ends(handle)


@life
async def pending_timed_out(fleet: WorkflowTestEnv, order_id: str) -> None:
    await ends(await _pending(fleet, order_id, "confirm:24h", payment_pending=timedelta(seconds=2)))


@life
async def pending_canceled(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await _pending(fleet, order_id)
    await fleet.client.change(order_id, Change.cancel("too dear"))
    await ends(handle)


@life
async def pending_continued_as_new(fleet: WorkflowTestEnv, order_id: str) -> None:
    handle = await _pending(fleet, order_id, changes_per_run=2)
    await _continues(fleet, order_id, handle)
    fleet.provider.ledger.confirm(names.default_payment_id(order_id))
    await handle.signal(names.PAYMENT_UPDATE)
    await ends(handle)


async def _refund(fleet: WorkflowTestEnv, order_id: str, **asked: Any) -> WorkflowHandle[Any, RefundResult]:
    """Start a partial refund, as the API does."""
    payment = PaymentIntent(
        payment_id=names.default_payment_id(order_id), order_id=order_id, amount=1998, currency="USD"
    )
    policy = fleet.order(order_id).policy
    refund = RefundOrder(order_id=order_id, payment=payment, reason="late", policy=policy, refund_id=PART, **asked)
    return await fleet.temporal.start_workflow(
        names.REFUND_WORKFLOW,
        refund,
        id=names.refund_workflow_id(payment.payment_id, refund_id=PART),
        task_queue=fleet.settings.orders_task_queue,
        memo=refund.memo(),
        result_type=RefundResult,
    )


@life
async def refunded_in_part_before_the_end(fleet: WorkflowTestEnv, order_id: str) -> None:
    gate = Gate()
    fleet.carrier.booking.before.append(gate)

    async def refund(_: WorkflowHandle) -> None:
        await (await _refund(fleet, order_id, amount=500)).result()

    await while_gated(gate, fleet, order_id, refund)


@life
async def lines_refunded_after_the_end(fleet: WorkflowTestEnv, order_id: str) -> None:
    await ends(await fleet.start(fleet.order(order_id, review=AUTO)))
    gate = Gate()
    fleet.provider.refunding.before.append(gate)
    handle = await _refund(fleet, order_id, lines=(RefundLine(line="1", qty=1, pieces=2, amount=1998),))
    # The decision is made before the provider is asked.
    await gate.reached.wait()
    await handle.execute_update(names.REFUND_DECISION)
    gate.opened.set()
    await handle.result()


@life
async def partial_refund_delayed(fleet: WorkflowTestEnv, order_id: str) -> None:
    await ends(await fleet.start(fleet.order(order_id, review=AUTO)))
    # More than the attempts of a round, so the refund waits on a timer.
    fleet.provider.refunding.before += [fails(ProviderUnavailable("come back later"))] * 4
    await (await _refund(fleet, order_id, amount=500)).result()


@life
async def partial_refund_refused(fleet: WorkflowTestEnv, order_id: str) -> None:
    await ends(await fleet.start(fleet.order(order_id, review=AUTO)))
    fleet.provider.refunding.before.append(fails(PaymentRefused("closed card")))
    await (await _refund(fleet, order_id, amount=500)).result()


@life
async def partial_refund_rejected(fleet: WorkflowTestEnv, order_id: str) -> None:
    await ends(await fleet.start(fleet.order(order_id, review=AUTO)))
    await (await _refund(fleet, order_id, amount=1999)).result()


async def _reconcile(fleet: WorkflowTestEnv, order_id: str) -> None:
    """Reconcile as the schedule does."""
    run: WorkflowHandle[Any, Any] = await fleet.temporal.start_workflow(
        names.RECONCILIATION_WORKFLOW,
        Reconciliation(policy=fleet.order(order_id).policy, grace=timedelta(0)),
        id=f"{names.RECONCILIATION}-{order_id}",
        task_queue=fleet.settings.orders_task_queue,
    )
    await asyncio.wait_for(run.result(), 60)


@life
async def reconciled(fleet: WorkflowTestEnv, order_id: str) -> None:
    await ends(await fleet.start(fleet.order(order_id, review=AUTO)))
    fleet.provider.ledger.move("refund", names.default_payment_id(order_id), Decimal("5.00"))
    await _reconcile(fleet, order_id)


@life
async def not_reconciled(fleet: WorkflowTestEnv, order_id: str) -> None:
    fleet.provider.list_error = PaymentsNotListed("answered 404")
    await _reconcile(fleet, order_id)
