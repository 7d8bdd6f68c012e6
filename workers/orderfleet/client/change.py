"""One change of a running order: an update that waits for the workflow's word, else the same as a signal.

`OrderClient` calls it. From outside, Temporal being away and no worker running look alike, both are silence:
this module tells them apart.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from pydantic import BaseModel
from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError

from orderfleet.client.budget import ANSWER_TIMEOUT, RPC_TIMEOUT, within
from orderfleet.client.errors import OrderRefused, in_time
from orderfleet.client.results import Answer
from orderfleet.contracts.order import content_hash
from orderfleet.contracts.words import error_message

SUSPICIOUS: Final = timedelta(milliseconds=500)
"""After so long without an answer, Temporal is asked whether it is there at all."""
SIGNAL_RESERVE: Final = timedelta(milliseconds=400)
"""What the wait for a worker leaves of a caller's budget, so that the change can still go as a signal."""


async def change(
    handle: WorkflowHandle[Any, Any], order_id: str, name: str, args: list[Any], request_id: str, *, patience: float
) -> Answer:
    """Send the update `name`; with no worker's answer in time, the signal of the same name.

    Args:
        handle: of the order's workflow.
        order_id: of the order.
        name: of the change, as update and as signal.
        args: its arguments.
        request_id: makes the same change, sent again, one; empty for one that is never sent again.
        patience: seconds that Temporal itself may take to answer one call.

    Raises:
        OrderRefused: the workflow refused; the message says why.
        TemporalUnavailable: Temporal did not answer.
        RPCError: see `errors.translated`.
    """
    wait = within(ANSWER_TIMEOUT.total_seconds(), reserve=SIGNAL_RESERVE.total_seconds())
    unanswered_at = time.monotonic() + wait
    update_id = _update_id(request_id, name, args) if request_id else str(uuid4())
    asked = asyncio.ensure_future(handle.execute_update(name, args=args, id=update_id, rpc_timeout=ANSWER_TIMEOUT))
    try:
        await _suspect(asked, handle, order_id, patience)
        async with asyncio.timeout(max(unanswered_at - time.monotonic(), 0)):
            await asked
    except WorkflowUpdateFailedError as error:
        raise OrderRefused(error_message(error.cause)) from error
    except (WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError):
        async with in_time(order_id, patience):
            await handle.signal(name, args=args, rpc_timeout=RPC_TIMEOUT)
        return Answer.QUEUED
    finally:
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    return Answer.TAKEN


async def _suspect(
    asked: asyncio.Future[Any], handle: WorkflowHandle[Any, Any], order_id: str, patience: float
) -> None:
    """Return once the update is answered, or Temporal says that it is there."""
    slow = SUSPICIOUS.total_seconds()
    done, _ = await asyncio.wait({asked}, timeout=slow)
    if not done:
        async with in_time(order_id, max(patience - slow, slow)):
            await handle.describe(rpc_timeout=RPC_TIMEOUT)


def _update_id(request_id: str, name: str, args: list[Any]) -> str:
    """An id that only the same change has: a caller may use one request id for several."""
    content = [arg.model_dump(mode="json") if isinstance(arg, BaseModel) else arg for arg in args]
    return f"{request_id}:{name}:{content_hash({'args': content})[:16]}"
