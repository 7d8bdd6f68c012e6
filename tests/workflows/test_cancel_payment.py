"""Cancel of the payment before the charge, by signal and by update."""

from __future__ import annotations

import pytest

from orderfleet.domain.status import Step
from support.workflow_env import WorkflowTestEnv


@pytest.mark.parametrize("way", ["signal", "update"])
async def test_cancel_payment_before_charge_cancels_and_charges_nothing(running: WorkflowTestEnv, way: str) -> None:
    order_id = f"cp-1-{way}"
    handle = await running.start(running.order(order_id))
    await running.until(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    if way == "signal":
        await handle.signal("cancel_payment")
    else:
        await handle.execute_update("cancel_payment")
    status = await handle.result()
    assert (status.step, status.cancel_reason) == (Step.CANCELED, "payment canceled")
    assert status.payment.status is None
    assert not running.provider.charges
    assert not running.provider.voided
