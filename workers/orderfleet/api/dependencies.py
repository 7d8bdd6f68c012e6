"""Whether the API is ready: once Temporal and the record have answered, until it drains.

The probes ask it. It must not turn unready because Temporal or Postgres is away: that would take
every replica out of service at once, and callers would lose the 503 that tells them to come back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Final

from fastapi import Depends, Request

from orderfleet.api.access import Access
from orderfleet.api.fanout import Fanout
from orderfleet.api.streams import StreamSlots
from orderfleet.services.carrier_updates import CarrierUpdateService
from orderfleet.services.orders import OrderService
from orderfleet.settings import Settings

Check = Callable[[], Awaitable[object]]


class Readiness:
    """Remembers which of the `checks` have answered.

    Args:
        checks: by name of the part; each raises while the part does not answer.
        timeout: seconds that one look may take.
    """

    def __init__(self, checks: Mapping[str, Check], *, timeout: float = 2.0) -> None:
        self._waiting = dict(checks)
        self._timeout = timeout
        self._draining = False

    def drain(self) -> None:
        """Stop being ready: the process is about to end."""
        self._draining = True

    async def problem(self) -> str | None:
        """Why the API is not ready, or None."""
        if self._draining:
            return "draining"
        for name, check in list(self._waiting.items()):
            try:
                async with asyncio.timeout(self._timeout):
                    await check()
            except Exception as error:  # noqa: BLE001 - whatever it is, the part has not answered
                return f"{name} has not answered yet: {str(error) or type(error).__name__}"
            self._waiting.pop(name, None)
        return None


PATIENCE: Final = timedelta(seconds=1.9)

"""A request's budget: all its waits together, so that every caller has an answer within 2 s."""


@dataclass(frozen=True)
class Services:
    """The wired parts."""

    settings: Settings
    desk: OrderService
    carrier: CarrierUpdateService
    readiness: Readiness
    fanout: Fanout
    access: Access = field(default_factory=Access)
    patience: timedelta = PATIENCE
    """The budget of each request."""
    heartbeat_seconds: float = 10.0
    """Between two comments on a stream while nothing happens, so that no proxy takes it for dead."""

    @cached_property
    def streams(self) -> StreamSlots:
        """The open streams of this process."""
        return StreamSlots(self.settings.api_streams_per_caller)


def _of_app(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Given = Annotated[Services, Depends(_of_app)]

"""A route's parameter that holds the services."""
