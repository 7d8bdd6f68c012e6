"""Takes surveys of what waits, for the metrics: of the record and of Temporal's queues, every few seconds.

One operator does it for the whole fleet. A survey that can't be taken shows nothing rather than old numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

import structlog

from orderfleet.contracts.errors import OrderfleetError
from orderfleet.contracts.survey import Waiting

_log = structlog.get_logger()

GAP: Final = 15.0
"""Seconds between two surveys: about as often as Prometheus looks."""


class Survey(Protocol):
    """Counts what waits."""

    async def take(self) -> list[Waiting]:
        """Count now; raises an `OrderfleetError` when nobody answers."""


class Shown(Protocol):
    """Where a survey is shown."""

    def show(self, found: Sequence[Waiting] | None) -> None:
        """Show a survey, or that there is none."""


async def keep_taking(survey: Survey, shown: Shown, gap: float = GAP) -> None:
    """Take a survey again and again until canceled."""
    away = False
    while True:
        try:
            shown.show(await survey.take())
            away = False
        except OrderfleetError as error:
            shown.show(None)
            if not away:
                _log.warning("a survey can't be taken", error=str(error))
            away = True
        await asyncio.sleep(gap)
