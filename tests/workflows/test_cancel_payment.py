"""Cancel of the payment before the charge, by signal and by update."""

from __future__ import annotations

import pytest

from orderfleet.domain.status import Step
from support.workflow_env import WorkflowTestEnv


@pytest.mark.parametrize("way", ["signal", "update"])
async def test_cancel_payment_before_charge_cancels_and_charges_nothing(
    workflow_env: WorkflowTestEnv, way: str
) -> None:
    order_id = f"cp-1-{way}"
    handle = await workflow_env.start(workflow_env.order(order_id))
    await workflow_env.until(order_id, lambda status: status.step is Step.MANUAL_REVIEW)
    if way == "signal":
        await handle.signal("cancel_payment")
    else:
        await handle.execute_update("cancel_payment")
    status = await handle.result()
    assert (status.step, status.cancel_reason) == (Step.CANCELED, "payment canceled")
    assert status.payment.status is None
    assert not workflow_env.provider.charges
    assert not workflow_env.provider.voided
