"""What the client raises instead of Temporal's errors, and the one place that translates them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from enum import StrEnum

from temporalio.client import WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.service import RPCError, RPCStatusCode

from orderfleet.domain.base import Contract
from orderfleet.domain.errors import OrderfleetError, PayloadDecryptionError
from orderfleet.services.deadline import remaining
from orderfleet.temporal.connection import explained, is_workflow_not_found


class OrderNotFound(OrderfleetError):
    """Temporal knows no workflow of this order."""


class ShipmentNotFound(OrderfleetError):
    """The order has no such shipment."""


class OrderIdConflict(OrderfleetError):
    """The order id is taken by another owner or with another content."""


class OrderRefused(OrderfleetError):
    """The order's workflow refused the change; the message is its reason."""


class OrderEnded(OrderfleetError):
    """The order is over; what was asked is not possible any more."""


class TemporalUnavailable(OrderfleetError):
    """Temporal did not answer, or no worker did; the same call may go through later."""


_AWAY = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.INTERNAL,
        # Of the namespace: that of a workflow is told apart before.
        RPCStatusCode.NOT_FOUND,
    }
)


_FULL_RUN = "exceeded workflow execution limit"

"""What the server says of a run that has taken all the signals it may."""


@contextmanager
def translated(order_id: str) -> Iterator[None]:
    """Turn Temporal's errors into ours for a call about `order_id`."""
    try:
        yield
    except RPCError as error:
        if is_workflow_not_found(error):
            raise OrderNotFound(f"there is no running workflow for order {order_id!r}") from error
        if error.status in _AWAY:
            raise TemporalUnavailable(f"Temporal did not answer for order {order_id!r}: {error.message}") from error
        if error.status is RPCStatusCode.INVALID_ARGUMENT and _FULL_RUN in error.message:
            # A stream of signals without a pause keeps the workflow from continuing as new.
            raise TemporalUnavailable(f"order {order_id!r} has more changes than it can take; wait a moment") from error
        raise
    except RuntimeError as error:
        # What the SDK raises at the first call of a client that connects when it is needed.
        if "client connect" in str(error):
            raise TemporalUnavailable(
                f"Temporal could not be reached for order {order_id!r}: {explained(str(error))}"
            ) from error
        raise
    except PayloadDecryptionError as error:
        raise TemporalUnavailable(f"what Temporal has of order {order_id!r} can't be read: {error}") from error
    except (WorkflowQueryFailedError, WorkflowQueryRejectedError) as error:
        raise TemporalUnavailable(f"the workflow of order {order_id!r} could not be asked: {error}") from error


@asynccontextmanager
async def in_time(order_id: str, seconds: float) -> AsyncIterator[None]:
    """As `translated`, and Temporal is away when it took longer than so many seconds, or than the budget has left."""
    seconds = remaining(seconds)
    with translated(order_id):
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise TemporalUnavailable(f"Temporal did not answer for order {order_id!r} in {seconds:.2g} s") from error


class StartOutcome(StrEnum):
    """Whether a start made the workflow or found it."""

    STARTED = "started"
    ADOPTED = "adopted"


class Started(Contract):
    """The workflow of an order, new or found."""

    order_id: str
    workflow_id: str
    run_id: str
    outcome: StartOutcome


class Closed(Contract):
    """How the workflow of an order ended."""

    how: str
    """`completed`, `failed`, `canceled`, `terminated`, `timed out`."""
    reason: str = ""
    """The message of its failure; empty for one that ended otherwise."""
    at: datetime


class ChangeResult(StrEnum):
    """What became of a change."""

    ACCEPTED = "accepted"
    """The workflow accepted it."""
    QUEUED = "queued"
    """No worker answered in time: the change stands as a signal and is handled when one runs."""


class UpdateResult(StrEnum):
    """What became of the carrier's word."""

    ACCEPTED = "accepted"
    """It stands as a signal of the order's workflow."""
    IGNORED = "ignored"
    """It was known before, or nothing waits for it any more."""
