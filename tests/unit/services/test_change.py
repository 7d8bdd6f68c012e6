"""A change whose calls to Temporal or the workers go unanswered, inside a deadline scope."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError

from orderfleet.domain.order import Address
from orderfleet.services.deadline import Deadline, deadline_scope
from orderfleet.services.errors import ChangeResult, OrderChangeRejected, TemporalUnavailable
from orderfleet.services.workflow_client import Change, OrderClient

TIMEOUT = timedelta(seconds=20)
DEADLINE = 1.5
LOADED_MACHINE = 8.0
"""Upper bound in seconds; without a deadline scope a change would take TIMEOUT and more."""


class Handle:
    """A workflow handle: the named calls return, all others hang."""

    def __init__(self, *answered: str) -> None:
        self.answered = answered
        self.calls: list[str] = []
        self.described = asyncio.Event()

    def __getattr__(self, name: str):
        async def call(*_args, **_kwargs):
            self.calls.append(name)
            if name == "describe":
                self.described.set()
            if name in self.answered:
                return
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as error:
                if name == "execute_update":
                    # As the SDK's client does.
                    raise WorkflowUpdateRPCTimeoutOrCancelledError from error
                raise

        return call


async def send(handle: Handle) -> ChangeResult:
    client = OrderClient(SimpleNamespace(get_workflow_handle=lambda _id: handle), timeout=TIMEOUT)
    with deadline_scope(Deadline(DEADLINE)):
        return await client.change("o-1", Change.approve(), request_id="r-1")


async def test_rejection_is_the_workflows_message_without_a_class_name():
    class Rejecting(Handle):
        async def execute_update(self, *_args, **_kwargs):
            raise WorkflowUpdateFailedError(ApplicationError("the package is already dispatched", type="X"))

    with pytest.raises(OrderChangeRejected) as caught:
        await send(Rejecting())
    assert str(caught.value) == "the package is already dispatched"


async def test_change_when_temporal_fails_after_the_check_is_unavailable_within_the_deadline():
    handle = Handle("describe")
    started = time.monotonic()
    with pytest.raises(TemporalUnavailable):
        await send(handle)
    assert DEADLINE * 0.9 < time.monotonic() - started < LOADED_MACHINE
    assert handle.calls == ["execute_update", "describe", "signal"]


async def test_change_when_temporal_never_answers_is_unavailable_within_the_deadline():
    handle = Handle()
    started = time.monotonic()
    with pytest.raises(TemporalUnavailable):
        await send(handle)
    assert time.monotonic() - started < LOADED_MACHINE
    assert handle.calls == ["execute_update", "describe"]


async def test_change_without_a_worker_is_sent_as_a_signal():
    handle = Handle("describe", "signal")
    assert await send(handle) is ChangeResult.QUEUED
    assert handle.calls == ["execute_update", "describe", "signal"]


async def test_change_that_a_worker_answers_is_accepted():
    handle = Handle("execute_update")
    assert await send(handle) is ChangeResult.ACCEPTED
    assert handle.calls == ["execute_update"]


async def test_change_canceled_by_its_caller_sends_no_signal():
    handle = Handle("describe", "signal")
    change = asyncio.create_task(send(handle))
    async with asyncio.timeout(LOADED_MACHINE):
        await handle.described.wait()
        # Until the check has returned, and the change waits for the update alone.
        await asyncio.sleep(0)
    change.cancel()
    with pytest.raises(asyncio.CancelledError):
        await change
    assert handle.calls == ["execute_update", "describe"]


def test_update_id_of_one_request_differs_by_change_and_arguments():
    first, second = Address(street="1 Main St"), Address(street="2 Side St")
    changes = [
        Change.approve(),
        Change.cancel("too dear"),
        Change.cancel("ordered twice"),
        Change.cancel_payment("too dear"),
        Change.update_address(first),
        Change.update_address(second),
    ]
    ids = [change.update_id("r-1") for change in changes]
    assert len(set(ids)) == len(ids)
    assert Change.update_address(first.model_copy()).update_id("r-1") == ids[4]
    assert Change.approve().update_id("r-2") != ids[0]
