"""What the record says is unfinished, and what Temporal says waits."""

from __future__ import annotations

from typing import Any

from temporalio.client import Client

from orderfleet.contracts import names
from orderfleet.contracts.status import PaymentStatus, Step
from orderfleet.contracts.survey import WaitKind
from orderfleet.runtime.backlog import Backlog
from orderfleet.store import Database, OrderRecord, RecordSurvey
from record_samples import AT, order, payment, progress, receive, until


async def test_unfinished_orders_and_owed_money_are_counted_with_the_oldest(
    database: Database, record: OrderRecord
) -> None:
    for number, step in enumerate((Step.MANUAL_REVIEW, Step.MANUAL_REVIEW, Step.CHARGE, Step.SHIPPED)):
        await receive(record, order(f"ord-{number}"), progress(1, step))
    await record.begin_payment(payment("ord-2"))
    await record.begin_payment(payment("ord-3"))
    await record.finish_payment(payment("ord-3"), PaymentStatus.CHARGED, None)
    found = {(one.kind, one.place): one for one in await RecordSurvey(database).take()}
    assert {key: one.count for key, one in found.items()} == {
        (WaitKind.ORDER, "manual_review"): 2,
        (WaitKind.ORDER, "charge"): 1,
        (WaitKind.PAYMENT, "INIT"): 1,
    }
    assert found[WaitKind.ORDER, "charge"].oldest > AT.year
    assert 0 <= found[WaitKind.PAYMENT, "INIT"].oldest < 60


async def test_tasks_that_wait_for_a_worker_are_counted(temporal_client: Client, task_queues: Any) -> None:
    backlog = Backlog(temporal_client, [task_queues.orders, task_queues.shipping])
    for number in range(3):
        await temporal_client.start_workflow(
            names.ORDER_WORKFLOW, id=f"{task_queues.orders}-{number}", task_queue=task_queues.orders
        )

    async def counted() -> bool:
        found = {(one.place, one.kind): one.count for one in await backlog.take()}
        assert found[task_queues.shipping, WaitKind.ACTIVITY_TASK] == 0
        return found[task_queues.orders, WaitKind.WORKFLOW_TASK] == 3

    await until(counted)
    for number in range(3):
        await temporal_client.get_workflow_handle(f"{task_queues.orders}-{number}").terminate()
