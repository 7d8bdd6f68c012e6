"""The results and errors of the services, and the translation of Temporal's errors, which happens only here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import Field
from temporalio.client import WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.service import RPCError, RPCStatusCode

from orderfleet.domain.base import Contract
from orderfleet.domain.errors import OrderfleetError, PayloadDecryptionError
from orderfleet.domain.status import OrderStatus
from orderfleet.services.deadline import remaining
from orderfleet.temporal.connection import explain_connection_error, is_workflow_not_found


class OrderNotFound(OrderfleetError):
    """Temporal has no workflow of this order."""


class ShipmentNotFound(OrderfleetError):
    """The order has no such shipment."""


class OrderIdConflict(OrderfleetError):
    """The order id belongs to another owner, or was used with other content."""


class OrderChangeRejected(OrderfleetError):
    """The order's workflow rejected the change; the message is its reason."""


class OrderEnded(OrderfleetError):
    """The order has ended and can't be changed any more."""


class InvalidRefund(OrderfleetError):
    """The amount or the lines of a refund are wrong; each problem is `field: message`."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class RefundRejected(OrderfleetError):
    """More was asked for than can be refunded; the message says what can."""


class RefundIdConflict(OrderfleetError):
    """The refund id was used for a refund of another amount or other lines."""


class StockRejected(OrderfleetError):
    """An adjustment would take pieces that are reserved or not there; the message says how many are free."""


class StockKeyConflict(OrderfleetError):
    """The id of an adjustment was used for another one."""


class UnknownLocation(OrderfleetError):
    """Locations of stock do not exist."""

    def __init__(self, locations: Sequence[str]) -> None:
        super().__init__("; ".join(f"location: {self.message(location)}" for location in locations))
        self.locations = tuple(locations)

    @staticmethod
    def message(location: str) -> str:
        """What is wrong with one of them, and what to do."""
        return (
            f"there is no location {location!r}; create it with `orderfleet stock locations {location}` or"
            f" PUT /stock/locations/{location}"
        )


class TemporalUnavailable(OrderfleetError):
    """Temporal or its workers did not answer; the same call may succeed later."""


_UNAVAILABLE: Final = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.ABORTED,
        RPCStatusCode.INTERNAL,
        # The namespace is not found; a workflow that is not found is handled before.
        RPCStatusCode.NOT_FOUND,
    }
)

_SIGNAL_LIMIT: Final = "exceeded workflow execution limit"
"""Part of the server's message for a run that has received its maximum number of signals."""


@contextmanager
def translate_errors(order_id: str) -> Iterator[None]:
    """Raise our errors in place of Temporal's for a call about `order_id`."""
    try:
        yield
    except RPCError as error:
        if is_workflow_not_found(error):
            raise OrderNotFound(f"there is no running workflow for order {order_id!r}") from error
        if error.status in _UNAVAILABLE:
            raise TemporalUnavailable(f"Temporal did not answer for order {order_id!r}: {error.message}") from error
        if error.status is RPCStatusCode.INVALID_ARGUMENT and _SIGNAL_LIMIT in error.message:
            # Signals without a pause keep the workflow from continuing as new, which would reset the limit.
            raise TemporalUnavailable(f"order {order_id!r} receives too many changes; retry in some seconds") from error
        raise
    except RuntimeError as error:
        # The SDK's error at the first call of a client that connects lazily.
        if "client connect" in str(error):
            raise TemporalUnavailable(
                f"Temporal could not be reached for order {order_id!r}: {explain_connection_error(str(error))}"
            ) from error
        raise
    except PayloadDecryptionError as error:
        raise TemporalUnavailable(f"Temporal's data of order {order_id!r} can't be read: {error}") from error
    except (WorkflowQueryFailedError, WorkflowQueryRejectedError) as error:
        raise TemporalUnavailable(f"the workflow of order {order_id!r} did not answer the query: {error}") from error


@asynccontextmanager
async def temporal_timeout(order_id: str, seconds: float) -> AsyncIterator[None]:
    """Translate errors as `translate_errors` does, and raise TemporalUnavailable after the timeout.

    Args:
        order_id: of the order that the calls inside are about.
        seconds: the timeout; an open deadline scope may shorten it.
    """
    seconds = remaining(seconds)
    with translate_errors(order_id):
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise TemporalUnavailable(f"Temporal did not answer for order {order_id!r} in {seconds:.2g} s") from error


class StartOutcome(StrEnum):
    """Whether a start created the workflow."""

    STARTED = "started"
    ADOPTED = "adopted"
    """An earlier start of the same order had created it."""


class Started(Contract):
    """The workflow of an order that was started or adopted."""

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
    """The result of a change."""

    ACCEPTED = "accepted"
    """The workflow accepted it."""
    QUEUED = "queued"
    """No worker answered in time: the change was sent as a signal, and is handled when a worker runs."""


class UpdateResult(StrEnum):
    """The result of a carrier update."""

    ACCEPTED = "accepted"
    """It was sent to the order's workflow as a signal."""
    IGNORED = "ignored"
    """The shipment is delivered or the order has ended, so it changes nothing."""


class Source(StrEnum):
    """Where a status comes from."""

    WORKFLOW = "workflow"
    DATABASE = "database"
    """The order store."""


class SourcedStatus(OrderStatus):
    """The status of an order and where it comes from."""

    source: Source = Field(
        description="Where the status comes from: `workflow`, or `database`, the order store. One replaces the other"
        " when it does not answer."
    )
