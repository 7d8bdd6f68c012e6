"""Protocols for what other packages report to observability, and an implementation that ignores it.

An observer must never raise, wait, or change what it observes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Protocol

from orderfleet.domain.status import PaymentStatus, Step


class StepObserver(Protocol):
    """Observes attempts of activities, and reviews."""

    def started(self, activity: str, attempt: int, *, local: bool) -> None:
        """An attempt started; `attempt` counts from 1."""

    def ended(self, activity: str, seconds: float, error: BaseException | None, *, timed_out: bool) -> None:
        """An attempt ended after `seconds`; Temporal ignores the result of one that `timed_out`."""

    def review_ended(self, outcome: str, waited: float) -> None:
        """The end of a review was recorded; the order waited `waited` seconds."""


class OrderObserver(Protocol):
    """Observes changes in the order store; a repeated write that changes nothing isn't reported."""

    def order_received(self) -> None:
        """An order was stored for the first time."""

    def order_ended(self, outcome: Step, lasted: timedelta) -> None:
        """An order ended, `lasted` after its start."""

    def payment_changed(self, status: PaymentStatus) -> None:
        """A payment reached a status."""


class OrphanObserver(Protocol):
    """Observes the orphan sweep and checks of workflow ids."""

    def sweep_completed(self) -> None:
        """A sweep completed now."""

    def orphan_found(self, source: str) -> None:
        """The compensation of an orphan was started; `source` is `visibility` or `database`."""

    def workflow_missing(self) -> None:
        """An unfinished order has no workflow in Temporal."""

    def workflow_id_conflict(self, workflow_type: str) -> None:
        """A workflow of another origin has the id that one of this type needs."""


class ProviderCallObserver(Protocol):
    """Observes calls to a provider."""

    def call(self, name: str) -> AbstractContextManager[None]:
        """A context around one call; it does not suppress exceptions."""


class Operation(Protocol):
    """One running statement."""

    def connected(self) -> None:
        """The statement has its connection."""


class DatabaseObserver(Protocol):
    """Observes statements and the connection pool."""

    def operation(self, name: str) -> AbstractContextManager[Operation]:
        """A context around one statement, the wait for its connection included."""


class ChangeFeedObserver(Protocol):
    """Observes a follower of the change feed."""

    def lag(self, rows: int) -> None:
        """The number of changed orders that are not delivered yet."""

    def delivered(self, rows: int) -> None:
        """The number of changed orders that were delivered or filtered out."""


class _Operation:
    def connected(self) -> None:
        pass


class NoopObserver:
    """Implements every observer and ignores all reports."""

    def started(self, activity: str, attempt: int, *, local: bool) -> None:
        """Do nothing."""

    def ended(self, activity: str, seconds: float, error: BaseException | None, *, timed_out: bool) -> None:
        """Do nothing."""

    def review_ended(self, outcome: str, waited: float) -> None:
        """Do nothing."""

    def order_received(self) -> None:
        """Do nothing."""

    def order_ended(self, outcome: Step, lasted: timedelta) -> None:
        """Do nothing."""

    def payment_changed(self, status: PaymentStatus) -> None:
        """Do nothing."""

    def sweep_completed(self) -> None:
        """Nothing."""

    def orphan_found(self, source: str) -> None:
        """Nothing."""

    def workflow_missing(self) -> None:
        """Nothing."""

    def workflow_id_conflict(self, workflow_type: str) -> None:
        """Nothing."""

    @contextmanager
    def call(self, name: str) -> Iterator[None]:  # noqa: ARG002 - the protocol's signature
        """Do nothing around the call."""
        yield

    @contextmanager
    def operation(self, name: str) -> Iterator[Operation]:  # noqa: ARG002 - the protocol's signature
        """Do nothing around the statement."""
        yield _Operation()

    def lag(self, rows: int) -> None:
        """Do nothing."""

    def delivered(self, rows: int) -> None:
        """Do nothing."""
