"""A change that Temporal or the workers leave unanswered, within a caller's budget."""

from __future__ import annotations

import asyncio
import time

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from orderfleet.services.deadline import Deadline, deadline_scope
from orderfleet.services.errors import ChangeResult, OrderRefused, TemporalUnavailable
from orderfleet.services.workflow_client import change

PATIENCE = 20.0
BUDGET = 1.5
ROOM = 8.0
"""For a busy machine; without a budget it would be PATIENCE and more."""


class Handle:
    """A workflow's handle whose calls hang, but for those it is told to answer."""

    def __init__(self, *answers: str) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def __getattr__(self, name: str):
        async def call(*_args, **_kwargs):
            self.asked.append(name)
            if name not in self.answers:
                await asyncio.Event().wait()

        return call


async def changed(handle: Handle) -> ChangeResult:
    with deadline_scope(Deadline(BUDGET)):
        return await change(handle, "o-1", "approve", [], "r-1", patience=PATIENCE)


async def test_refusal_is_the_workflows_message_without_a_class_name():
    class Refusing(Handle):
        async def execute_update(self, *_args, **_kwargs):
            raise WorkflowUpdateFailedError(ApplicationError("the package is already dispatched", type="ChangeRefused"))

    with pytest.raises(OrderRefused) as caught:
        await changed(Refusing())
    assert str(caught.value) == "the package is already dispatched"


async def test_temporal_that_dies_between_two_looks_is_away_within_the_budget():
    handle = Handle("describe")
    began = time.monotonic()
    with pytest.raises(TemporalUnavailable):
        await changed(handle)
    assert BUDGET * 0.9 < time.monotonic() - began < ROOM
    assert handle.asked == ["execute_update", "describe", "signal"]


async def test_temporal_that_is_silent_is_away_within_the_budget():
    handle = Handle()
    began = time.monotonic()
    with pytest.raises(TemporalUnavailable):
        await changed(handle)
    assert time.monotonic() - began < ROOM
    assert handle.asked == ["execute_update", "describe"]


async def test_without_a_worker_there_is_time_left_for_the_signal():
    handle = Handle("describe", "signal")
    assert await changed(handle) is ChangeResult.QUEUED
    assert handle.asked == ["execute_update", "describe", "signal"]


async def test_an_answer_is_an_answer():
    handle = Handle("execute_update")
    assert await changed(handle) is ChangeResult.ACCEPTED
    assert handle.asked == ["execute_update"]
