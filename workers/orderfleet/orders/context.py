"""What the phases of an order workflow share: input, state, journal, step runner.

It writes progress to the database and decides when the workflow continues as new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from orderfleet.domain.activities import RecordInput, StepResult
    from orderfleet.domain.order import Address, OrderInput
    from orderfleet.domain.policy import OrderPolicy
    from orderfleet.domain.status import Step
    from orderfleet.domain.validation import DEFAULT_ADDRESS_CHECKS, address_problems
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
    """The carrier reports the parcel as dispatched, so the order can't be compensated: it ends shipped."""


class OrderContext:
    """One order in progress.

    Args:
        order: its input, with texts that are too long cut.
        state: its state.
        too_long: the problems of the texts that were cut, with which the order fails validation; None without one.
    """

    def __init__(self, order: OrderInput, state: OrderState, too_long: str | None = None) -> None:
        self.order = order
        self.too_long = too_long
        self.state = state
        self.journal = Journal(order, state)
        self.steps = StepRunner(order.policy, self._on_error)
        self.changes = 0
        """Signals and updates that this run has received."""

    @property
    def policy(self) -> OrderPolicy:
        """The settings that the order started with."""
        return self.order.policy

    def address_problems(self, address: Address) -> list[str]:
        """The problems of an address by the checks that the order started with."""
        checks = self.policy.address_checks or self.state.address_checks or DEFAULT_ADDRESS_CHECKS
        return address_problems(address, checks)

    async def record(self, *, decided: bool = False) -> None:
        """Write progress to the database; retried until it succeeds.

        Args:
            decided: use a regular activity. A local one can be lost with its worker after it wrote, and the decision
                that it wrote made differently on replay; the end of an order must not change.
        """
        draft = self.journal.draft()
        arg = RecordInput(order_id=self.order.order_id, progress=draft.progress)
        run = self.steps.run if decided else self.steps.run_locally
        for wait in backoff(self.policy.retry_forever_backoff):
            try:
                await run(_RECORD, arg, self.policy.record)
                break
            except StepFailed as failed:
                self._on_error(str(failed))
            await workflow.sleep(wait)
        self.journal.commit(draft)

    async def record_while(self, work: Awaitable[T]) -> T:
        """Await `work`, and write the progress that signals make until it is done."""
        task = asyncio.ensure_future(work)
        while not task.done():
            await workflow.wait_condition(lambda: task.done() or self.journal.dirty)
            if not task.done():
                await self.record()
        return task.result()

    async def wait_until(self, done: Callable[[], bool], deadline: datetime) -> bool:
        """Wait for a condition, and write the progress that signals make until it holds.

        The wait may last months and receive thousands of signals: the workflow continues as new when its history has
        grown. So no child workflow may be open.

        Args:
            done: the condition.
            deadline: when the wait ends without it.

        Returns:
            Whether the condition held before the deadline.
        """
        while not done():
            # Before writing: under a stream of signals there is always something to write, and the state carries
            # what is pending to the next run. Temporal rejects the command while signals arrive, so what has
            # accumulated is written above a threshold.
            if self._may_continue_as_new() and not self.journal.over_threshold:
                workflow.continue_as_new(args=[self.order, self.state])
            if self.journal.dirty:
                await self.record()
                continue
            remaining = max(deadline - workflow.now(), timedelta(0))
            try:
                await workflow.wait_condition(
                    lambda: done() or self.journal.dirty or self._may_continue_as_new(), timeout=remaining
                )
            except TimeoutError:
                # A signal in the same workflow task as the timer takes precedence.
                return done()
        return True

    def _may_continue_as_new(self) -> bool:
        suggested = self.changes >= self.policy.changes_per_run or workflow.info().is_continue_as_new_suggested()
        return suggested and workflow.all_handlers_finished()

    def reviewed(self) -> dict[str, float]:
        """Detail of the event that ends a review: the seconds that the order waited; empty outside a review."""
        state = self.state
        if state.step is not Step.MANUAL_REVIEW or state.approved or state.review_deadline is None:
            return {}
        began = state.review_deadline - self.order.review.timeout
        return {"waited_seconds": (workflow.now() - began).total_seconds()}

    def stop_if_canceled(self) -> None:
        """Check for an accepted cancel.

        Raises:
            OrderCanceled: a cancel was accepted.
        """
        if self.state.cancel_requested is not None:
            raise OrderCanceled(self.state.cancel_requested)

    def _on_error(self, text: str) -> None:
        if self.state.completed_at is not None:
            return  # an error while the end is written must not replace the error that the order ended with
        self.state.last_error = text
        self.state.updated_at = workflow.now()
