"""What the API refuses to start with. Called by `serve` before anything listens.

The choice of an authentication is checked where it is made, in `auth.choice`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Protocol

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from orderfleet.domain.errors import OrderfleetError, WrongSetting
from orderfleet.settings import Settings
from orderfleet.settings.processes import Environment


class UnsafeSettings(WrongSetting):
    """What the API must not start with: settings that are dangerous together, or lead nowhere."""


def refuse_unsafe(settings: Settings) -> None:
    """Check the settings as a whole.

    Raises:
        UnsafeSettings: the message names the settings and what to do.
    """
    if settings.sample_orders and settings.environment is not Environment.LOCAL:
        raise UnsafeSettings(
            "ORDERFLEET_SAMPLE_ORDERS is for ORDERFLEET_ENVIRONMENT=local only: it would ship samples"
            " to a sample address; turn one of them off"
        )


class Role(StrEnum):
    """What a caller may do."""

    READ = "read"
    """See orders."""
    OPERATE = "operate"
    """See, start and change orders."""
    CARRIER = "carrier"
    """Tell of shipments, and nothing else."""


_HELD: Final = {Role.READ: {Role.READ}, Role.OPERATE: {Role.READ, Role.OPERATE}, Role.CARRIER: {Role.CARRIER}}


@dataclass(frozen=True)
class Caller:
    """Whose token it is, and what it may do."""

    name: str
    roles: frozenset[Role]
    expires_at: float | None = None
    """Seconds since 1970, after which the token is refused; None for a token that doesn't expire."""

    def may(self, role: Role) -> bool:
        """Whether one of the caller's roles includes this one."""
        return any(role in _HELD[held] for held in self.roles)


class Unauthenticated(OrderfleetError):
    """The request has no token, or none that is known or still valid."""

    def __init__(self, message: str, *, token_given: bool = True) -> None:
        super().__init__(message)
        self.challenge = 'Bearer realm="orderfleet"' + (', error="invalid_token"' if token_given else "")


class Forbidden(OrderfleetError):
    """The token is good and its roles don't include what the route needs."""

    def __init__(self, message: str, role: Role) -> None:
        super().__init__(message)
        self.challenge = f'Bearer realm="orderfleet", error="insufficient_scope", scope="{role}"'


class KeysUnavailable(OrderfleetError):
    """The identity provider's keys can't be had now, so no token can be checked."""


class Authenticator(Protocol):
    """Knows tokens."""

    async def caller(self, token: str) -> Caller:
        """Whose token it is.

        Raises:
            Unauthenticated: it is not known or not valid (any more).
            KeysUnavailable: it can't be checked now.
        """


@dataclass(frozen=True)
class Access:
    """How callers are known; None lets everyone in.

    Args:
        people: knows the tokens of everyone but a carrier's own.
        carrier: knows the tokens of the carrier; None leaves it to `people`.
        carrier_open: whether the carrier's route needs no token where neither knows one.
    """

    people: Authenticator | None = None
    carrier: Authenticator | None = None
    carrier_open: bool = True

    async def check(self, role: Role, token: str | None) -> Caller | None:
        """The caller, if there is a way to know one.

        Raises:
            Unauthenticated: no token, or a wrong one.
            Forbidden: the token's roles don't include `role`.
            KeysUnavailable: the token can't be checked now.
        """
        known = (self.carrier or self.people) if role is Role.CARRIER else self.people
        if known is None:
            if role is Role.CARRIER and not self.carrier_open:
                raise Forbidden("no carrier is known here; set ORDERFLEET_API_CARRIER_TOKENS_FILE", role)
            return None
        if not token:
            raise Unauthenticated("the token is missing; send it as `Authorization: Bearer TOKEN`", token_given=False)
        caller = await known.caller(token)
        if not caller.may(role):
            raise Forbidden(f"{caller.name!r} doesn't have the role {role!s}; ask for a token that has it", role)
        return caller


_BEARER: Final = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="A token of the tokens file or of the identity provider, as ORDERFLEET_API_AUTH says; with `none`"
    " no token is needed. `read` sees orders, `operate` changes them too, `carrier` tells of shipments.",
)


Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


@dataclass(frozen=True)
class Admission:
    """A caller that was let in, and what it takes to check it again while its request lasts."""

    access: Access
    role: Role
    token: str | None
    caller: Caller | None

    async def still_valid(self) -> bool:
        """Whether the caller would be let in now: tokens expire and are revoked while a stream is open."""
        try:
            await self.access.check(self.role, self.token)
        except KeysUnavailable:
            # An outage of the identity provider revokes nothing.
            return True
        except (Unauthenticated, Forbidden):
            return False
        return True

    def seconds_left(self) -> float:
        """Until the token expires; infinite for one that doesn't."""
        if self.caller is None or self.caller.expires_at is None:
            return math.inf
        return max(self.caller.expires_at - time.time(), 0.0)


async def admit(request: Request, role: Role) -> None:
    """Let the caller in and keep the admission in the request's state.

    Raises:
        Unauthenticated: no token, or a wrong one.
        Forbidden: the token's roles don't include `role`.
        KeysUnavailable: the token can't be checked now.
    """
    access: Access = request.app.state.services.access
    credentials = await _BEARER(request)
    token = credentials.credentials if credentials else None
    caller = await access.check(role, token)
    request.state.admission = Admission(access, role, token, caller)
    request.state.caller = caller.name if caller else None


class _Need:
    """What a route needs of its caller; `GuardedRoute` has checked it when FastAPI comes here."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, request: Request, _credentials: Credentials) -> None:
        admission: Admission | None = getattr(request.state, "admission", None)
        if admission is None or admission.role is not self.role:
            msg = f"{request.url.path} has no GuardedRoute; give its router `route_class=GuardedRoute`"
            raise RuntimeError(msg)


def needs(role: Role) -> Any:
    """What a router with `GuardedRoute` depends on so that its routes are only for callers with `role`."""
    return Depends(_Need(role))


def role_of(dependencies: Iterable[Any]) -> Role | None:
    """The role that a route with these dependencies needs; None for one that is open to all."""
    found = [each.dependency.role for each in dependencies if isinstance(each.dependency, _Need)]
    return found[-1] if found else None


def _admission(request: Request) -> Admission:
    admission: Admission = request.state.admission
    return admission


Admitted = Annotated[Admission, Depends(_admission)]

"""A route's parameter: who was let in."""
