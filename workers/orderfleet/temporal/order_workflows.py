"""Order workflows and their compensations in Temporal. Implements `OrderWorkflows`.

Visibility lags, so it must only ever name candidates: whether a workflow is closed comes from its own execution.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from orderfleet.domain import names
from orderfleet.domain.activities import IdHolder
from orderfleet.domain.errors import OrderfleetError
from orderfleet.domain.ledger import PaymentRecord
from orderfleet.domain.orphans import ClosedPage, Compensation, UnfinishedOrder, WorkflowState
from orderfleet.observability.tracing import untraced
from orderfleet.temporal.connection import is_workflow_not_found

PAGE: Final = 200
"""Maximum number of closed workflows in one page."""
_COMPENSATIONS_PAGE: Final = 1000
_CLOSED: Final = frozenset(
    {
        WorkflowExecutionStatus.CANCELED,
        WorkflowExecutionStatus.COMPLETED,
        WorkflowExecutionStatus.FAILED,
        WorkflowExecutionStatus.TERMINATED,
        WorkflowExecutionStatus.TIMED_OUT,
    }
)


class TemporalCallFailed(OrderfleetError):
    """A call to Temporal failed. Retried."""


class TemporalOrderWorkflows:
    """`OrderWorkflows` over a connected client. Every call raises `TemporalCallFailed` for an error of Temporal.

    Args:
        temporal: a connected client.
        page: maximum number of closed workflows in one page.
    """

    def __init__(self, temporal: Client, page: int = PAGE) -> None:
        self._temporal = temporal
        self._page = page

    async def closed(self, since: datetime, page_token: str | None = None) -> ClosedPage:
        """Return one page of order workflows that closed after `since` without completing, the newest first.

        Args:
            since: earliest close time.
            page_token: `next_token` of the page before; None for the first page.
        """
        query = (
            f'WorkflowType = "{names.ORDER_WORKFLOW}"'
            ' AND ExecutionStatus IN ("Terminated", "TimedOut", "Canceled", "Failed")'
            f' AND CloseTime > "{since.isoformat()}"'
        )
        token = b64decode(page_token) if page_token is not None else None
        listed = self._temporal.list_workflows(query, page_size=self._page, next_page_token=token)
        with _translate_errors():
            await listed.fetch_next_page()
        following = listed.next_page_token
        return ClosedPage(
            workflow_ids=tuple(closed.id for closed in listed.current_page or ()),
            next_token=b64encode(following).decode() if following else None,
        )

    async def state(self, order: UnfinishedOrder) -> WorkflowState:
        """Return whether the workflow of the order runs, by its id and its first run.

        A workflow keeps its first run id when it continues as new or is reset. So another first run id under the
        same workflow id is another workflow: the order's own one is closed, as at most one run of an id is open.
        """
        latest = await self._describe(order.workflow_id)
        if latest is None:
            return WorkflowState(found=False)
        # A server before 1.24 does not answer the first run id.
        own = latest.raw_info.first_run_id in {"", order.first_run_id}
        if not own:
            latest = await self._describe(order.workflow_id, order.first_run_id)
            if latest is None:
                return WorkflowState(found=False)
            if latest.status is WorkflowExecutionStatus.CONTINUED_AS_NEW:
                return WorkflowState(found=True, how="closed after it continued as new")
        if latest.status not in _CLOSED:
            return WorkflowState(found=True, running=True)
        return WorkflowState(found=True, how=latest.status.name.lower().replace("_", " "))

    async def in_compensation(self) -> frozenset[str]:
        """Return the ids of the orders whose compensation runs, according to visibility."""
        query = f'WorkflowType = "{names.COMPENSATION_WORKFLOW}" AND ExecutionStatus = "Running"'
        found: set[str] = set()
        with _translate_errors():
            async for running in self._temporal.list_workflows(query, page_size=_COMPENSATIONS_PAGE):
                order_id = (await _memo(running)).get(names.MEMO_ORDER_ID)
                if isinstance(order_id, str):
                    found.add(order_id)
        return frozenset(found)

    async def start_compensation(self, compensation: Compensation, workflow_id: str, task_queue: str) -> bool:
        """Start the compensation of an orphan.

        Returns:
            Whether it was started; False when a workflow of this id runs.
        """
        with _translate_errors(), untraced():
            try:
                await self._temporal.start_workflow(
                    names.COMPENSATION_WORKFLOW,
                    compensation,
                    id=workflow_id,
                    task_queue=task_queue,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    memo=compensation.memo(),
                )
            except WorkflowAlreadyStartedError:
                return False
        return True

    async def show_payment(self, payment: PaymentRecord) -> None:
        """Send a payment that changed to the workflow of its order, if that runs."""
        order = self._temporal.get_workflow_handle(names.order_workflow_id(payment.order_id))
        try:
            await order.signal(names.PAYMENT_RECORDED, payment)
        except RPCError as error:
            if not is_workflow_not_found(error):
                raise TemporalCallFailed(error.message) from error

    async def holder(
        self, workflow_id: str, workflow_type: str, memo: Mapping[str, str], parent_id: str = ""
    ) -> IdHolder:
        """Return which workflow has an id: the expected one and its state, another one, or none.

        Args:
            workflow_id: to look up.
            workflow_type: of the expected workflow.
            memo: entries that the expected workflow has.
            parent_id: workflow id of its parent; empty for any.
        """
        found = await self._describe(workflow_id)
        if found is None:
            return IdHolder.NONE
        found_memo = await _memo(found) if memo else {}
        if found.workflow_type != workflow_type or any(found_memo.get(key) != value for key, value in memo.items()):
            return IdHolder.FOREIGN
        if parent_id and found.parent_id != parent_id:
            return IdHolder.FOREIGN
        if found.status is WorkflowExecutionStatus.COMPLETED:
            return IdHolder.COMPLETED
        return IdHolder.ENDED if found.status in _CLOSED else IdHolder.OPEN

    async def _describe(self, workflow_id: str, run_id: str | None = None) -> WorkflowExecutionDescription | None:
        try:
            with untraced():
                return await self._temporal.get_workflow_handle(workflow_id, run_id=run_id).describe()
        except RPCError as error:
            if is_workflow_not_found(error):
                return None
            raise TemporalCallFailed(error.message) from error


async def _memo(found: WorkflowExecution) -> Mapping[str, object]:
    try:
        return await found.memo()
    except Exception:  # noqa: BLE001 - a memo of another origin can be of any encoding
        return {}


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except RPCError as error:
        raise TemporalCallFailed(error.message) from error
