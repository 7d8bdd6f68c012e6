"""What the phases of one order share: its input, its state, its journal, and how steps are run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.domain.activities import RecordInput, StepResult
    from orderfleet.domain.order import OrderInput
    from orderfleet.domain.policy import OrderPolicy
    from orderfleet.domain.status import Step
    from orderfleet.orders.activities import OrderActivities

from orderfleet.orders.state import Journal, OrderState
from orderfleet.temporal.step_runner import ActivityRef, StepFailed, StepRunner, backoff

T = TypeVar("T")

_RECORD = ActivityRef(OrderActivities.record, StepResult)


class OrderCanceled(Exception):
    """The order ends canceled; the message is the reason."""


class OrderFailed(Exception):
    """The order ends failed; the message is the reason."""


class AlreadyShipped(Exception):
    """While undoing, the carrier said that the parcel is on its way: the order goes on as shipped."""


class OrderContext:
    """One order in progress.

    Args:
        order: its input, without the ends of texts that are too long.
        state: where it is.
        too_long: which of its texts were too long; it fails at validation. None where none was.
    """

    def __init__(self, order: OrderInput, state: OrderState, too_long: str | None = None) -> None:
        self.order = order
        self.too_long = too_long
        self.state = state
        self.journal = Journal(order, state)
        self.steps = StepRunner(order.policy.outage, self._on_error)
        self.changes = 0
        """Signals and updates that this run has taken."""

    @property
    def policy(self) -> OrderPolicy:
        """The settings frozen at the order's start."""
        return self.order.policy

    async def record(self, *, decided: bool = False) -> None:
        """Tell the record what happened, however long it takes.

        Args:
            decided: tell it only once Temporal's history has the decision. A local activity may tell
                of one that is lost with its worker and then made otherwise, as when a cancel comes
                meanwhile; an end that was told must stand.
        """
        draft = self.journal.draft()
        arg = RecordInput(order_id=self.order.order_id, progress=draft.progress)
        tell = self.steps.run if decided else self.steps.run_locally
        for gap in backoff(self.policy.retry_forever_backoff):
            try:
                await tell(_RECORD, arg, self.policy.record)
                break
            except StepFailed as failed:
                self._on_error(str(failed))
            await workflow.sleep(gap)
        self.journal.commit(draft)

    async def record_while(self, work: Awaitable[T]) -> T:
        """Await `work`, recording what signals bring until it is done."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await workflow.wait_condition(lambda: task.done() or self.journal.dirty)
            if not task.done():
                await self.record()
        return task.result()

    async def wait_until(self, done: Callable[[], bool], deadline: datetime) -> bool:
        """Wait for people or the outside, recording what happens meanwhile; months and thousands of signals long.

        Only with no child open: when the history has grown, the workflow continues as new from here.

        Returns:
            Whether it was done before the deadline.
        """
        while not done():
            # Before recording: under a stream of signals there is always something to record, and the
            # state takes along what no record carries yet. Such a stream also keeps Temporal from taking
            # that decision: what has gathered meanwhile is told.
            if self._may_continue_as_new() and not self.journal.over_threshold:
                workflow.continue_as_new(args=[self.order, self.state])
            if self.journal.dirty:
                await self.record()
                continue
            left = max(deadline - workflow.now(), timedelta(0))
            try:
                await workflow.wait_condition(
                    lambda: done() or self.journal.dirty or self._may_continue_as_new(), timeout=left
                )
            except TimeoutError:
                # What came in the same moment as the timer wins over it.
                return done()
        return True

    def _may_continue_as_new(self) -> bool:
        long = self.changes >= self.policy.changes_per_run or workflow.info().is_continue_as_new_suggested()
        return long and workflow.all_handlers_finished()

    def reviewed(self) -> dict[str, float]:
        """What the event that ends a review says of it: the seconds it waited; nothing outside of a review."""
        state = self.state
        if state.step is not Step.MANUAL_REVIEW or state.approved or state.review_deadline is None:
            return {}
        began = state.review_deadline - self.order.review.timeout
        return {"waited_seconds": (workflow.now() - began).total_seconds()}

    def stop_if_canceled(self) -> None:
        """Raise `OrderCanceled` if a cancel was taken."""
        if self.state.cancel_requested is not None:
            raise OrderCanceled(self.state.cancel_requested)

    def _on_error(self, text: str) -> None:
        if self.state.completed_at is not None:
            return  # an order that has ended keeps its last word, also while its end is recorded
        self.state.last_error = text
        self.state.updated_at = workflow.now()
