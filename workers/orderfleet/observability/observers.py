"""What the rooms tell whoever watches them, as Protocols, with one that doesn't look.

`telemetry` implements them and entry points hand them in, so no room knows how it is measured. An
observer must never raise, wait, or change what it watches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Protocol

from orderfleet.domain.status import PaymentStatus, Step


class StepObserver(Protocol):
    """Watches attempts of activities."""

    def began(self, activity: str, attempt: int, *, local: bool) -> None:
        """An attempt began."""

    def ended(self, activity: str, seconds: float, error: BaseException | None, *, late: bool) -> None:
        """An attempt ended; `late` when its time-out had passed, so that nobody takes its answer."""

    def reviewed(self, outcome: str, waited: float) -> None:
        """A review that was recorded now ended after `waited` seconds."""


class RecordObserver(Protocol):
    """Watches what the record takes in; a write that is made again and changes nothing isn't told."""

    def order_received(self) -> None:
        """An order is new."""

    def order_ended(self, outcome: Step, lasted: timedelta) -> None:
        """An order came to its end."""

    def payment_moved(self, status: PaymentStatus) -> None:
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


class CallObserver(Protocol):
    """Watches calls to an outside part."""

    def call(self, name: str) -> AbstractContextManager[None]:
        """Stands around one call; what the call raises goes through it."""


class Operation(Protocol):
    """One statement under way."""

    def connected(self) -> None:
        """It has its connection; until now it waited."""


class DatabaseObserver(Protocol):
    """Watches statements and the pool."""

    def operation(self, name: str) -> AbstractContextManager[Operation]:
        """Stands around one statement, the wait for its connection included."""


class FeedObserver(Protocol):
    """Watches a follower of the change feed."""

    def behind(self, rows: int) -> None:
        """So many changed orders are read or waiting, and the follower hasn't been told of them; 0 is none."""

    def told(self, rows: int) -> None:
        """The follower took so many, or didn't want them."""


class _Operation:
    def connected(self) -> None:
        pass


class NoopObserver:
    """Every observer at once, who doesn't look."""

    def began(self, activity: str, attempt: int, *, local: bool) -> None:
        """Nothing."""

    def ended(self, activity: str, seconds: float, error: BaseException | None, *, late: bool) -> None:
        """Nothing."""

    def reviewed(self, outcome: str, waited: float) -> None:
        """Nothing."""

    def order_received(self) -> None:
        """Nothing."""

    def order_ended(self, outcome: Step, lasted: timedelta) -> None:
        """Nothing."""

    def payment_moved(self, status: PaymentStatus) -> None:
        """Nothing."""

    def sweep_completed(self) -> None:
        """Nothing."""

    def orphan_found(self, source: str) -> None:
        """Nothing."""

    def workflow_missing(self) -> None:
        """Nothing."""

    def workflow_id_conflict(self, workflow_type: str) -> None:
        """Nothing."""

    @contextmanager
    def call(self, name: str) -> Iterator[None]:  # noqa: ARG002 - it doesn't look
        """Nothing."""
        yield

    @contextmanager
    def operation(self, name: str) -> Iterator[Operation]:  # noqa: ARG002 - it doesn't look
        """Nothing."""
        yield _Operation()

    def behind(self, rows: int) -> None:
        """Nothing."""

    def told(self, rows: int) -> None:
        """Nothing."""
