"""What the routes need, given to the app once and to each route by `Depends`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Final

from fastapi import Depends, Request

from orderfleet.api.auth.access import Access
from orderfleet.api.fanout import Fanout
from orderfleet.api.readiness import Readiness
from orderfleet.api.streams import StreamSlots
from orderfleet.client import CarrierDesk, OrderDesk
from orderfleet.runtime.settings import Settings

PATIENCE: Final = timedelta(seconds=1.9)
"""A request's budget: all its waits together, so that every caller has an answer within 2 s."""


@dataclass(frozen=True)
class Services:
    """The wired parts."""

    settings: Settings
    desk: OrderDesk
    carrier: CarrierDesk
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
