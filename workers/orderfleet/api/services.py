"""What the routes need, given to the app once and to each route by `Depends`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from orderfleet.api.auth.access import Access
from orderfleet.api.fanout import Fanout
from orderfleet.api.readiness import Readiness
from orderfleet.client import OrderDesk
from orderfleet.runtime.settings import Settings


@dataclass(frozen=True)
class Services:
    """The wired parts."""

    settings: Settings
    desk: OrderDesk
    readiness: Readiness
    fanout: Fanout
    access: Access = field(default_factory=Access)
    heartbeat_seconds: float = 10.0
    """Between two comments on a stream while nothing happens, so that nobody between takes it for dead."""


def _of_app(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Given = Annotated[Services, Depends(_of_app)]
"""A route's parameter that holds the services."""
