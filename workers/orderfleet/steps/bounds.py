"""Activity side: which attempt it is, what is left of it, so that a store that hangs is an outage, and what time it is.

Activities that ask the store after somebody slow call it. An attempt that ran into its own time-out
would be used up; one that gives the store up just before is not. It must never go by the wall clock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

from temporalio import activity

from orderfleet.contracts.errors import StoreUnavailable
from orderfleet.contracts.policy import ANSWER_MARGIN, LEAST_FOR_THE_STORE
from orderfleet.contracts.steps import StepInput

_MARGIN: Final = ANSWER_MARGIN.total_seconds()
_LEAST: Final = LEAST_FOR_THE_STORE.total_seconds()
"""With fewer seconds left it is the provider that used the attempt up, and it counts."""


def attempt_of(step: StepInput) -> int:
    """Which attempt of the step this is, from 1, with those before an outage."""
    return step.earlier_attempts + activity.info().attempt


class AttemptClock:
    """Runs from the moment it is made, at the beginning of an activity."""

    def __init__(self) -> None:
        info, self._began = activity.info(), time.monotonic()
        self._started = info.started_time
        bound = info.start_to_close_timeout
        self._end = None if bound is None else self._began + bound.total_seconds() - _MARGIN

    def now(self) -> datetime:
        """The time by Temporal's clock, as workflows have it: this machine's own may be off, or jump."""
        return self._started + timedelta(seconds=time.monotonic() - self._began)

    @asynccontextmanager
    async def asking_the_store(self) -> AsyncIterator[None]:
        """Bound the body by what is left of the attempt.

        Raises:
            StoreUnavailable: the body was not done in time.
        """
        left = None if self._end is None else self._end - time.monotonic()
        if left is None or left < _LEAST:
            yield
            return
        try:
            async with asyncio.timeout(left):
                yield
        except TimeoutError as error:
            raise StoreUnavailable(f"Postgres did not answer within the {left:.1f} s left of the attempt") from error
