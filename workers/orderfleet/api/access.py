"""Authorization: callers, roles, and the check of a request before its body is read.

It must never let a request pass because a token can't be checked.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from json import JSONDecodeError
from typing import Annotated, Any, Final, Protocol

from fastapi import Depends, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException

from orderfleet.domain.errors import OrderfleetError, WrongSetting
from orderfleet.domain.strict_models import DuplicateKey, TooDeep, read_json


class UnsafeSettings(WrongSetting):
    """The API does not start: its settings are dangerous together, or incomplete."""


class Role(StrEnum):
    """What a caller may do."""

    READ = "read"
    """Read orders."""
    OPERATE = "operate"
    """Read, start and change orders."""
    CARRIER = "carrier"
    """Send carrier status updates, and nothing else."""


_INCLUDED: Final = {Role.READ: {Role.READ}, Role.OPERATE: {Role.READ, Role.OPERATE}, Role.CARRIER: {Role.CARRIER}}


@dataclass(frozen=True)
class Caller:
    """An authenticated caller and its roles."""

    name: str
    roles: frozenset[Role]
    expires_at: float | None = None
    """Unix time in seconds at which the token expires; None for a token that doesn't expire."""

    def may(self, role: Role) -> bool:
        """Whether one of the caller's roles includes `role`."""
        return any(role in _INCLUDED[own] for own in self.roles)


class Unauthenticated(OrderfleetError):
    """The request has no token, or an unknown or invalid one."""

    def __init__(self, message: str, *, token_given: bool = True) -> None:
        super().__init__(message)
        self.challenge = 'Bearer realm="orderfleet"' + (', error="invalid_token"' if token_given else "")


class Forbidden(OrderfleetError):
    """The token is valid, but its roles don't include the role that the route requires."""

    def __init__(self, message: str, role: Role) -> None:
        super().__init__(message)
        self.challenge = f'Bearer realm="orderfleet", error="insufficient_scope", scope="{role}"'


class KeysUnavailable(OrderfleetError):
    """The identity provider's keys can't be fetched, so no token can be verified."""


class Authenticator(Protocol):
    """Identifies callers by their tokens."""

    async def authenticate(self, token: str) -> Caller:
        """The caller that the token identifies.

        Raises:
            Unauthenticated: the token is unknown, invalid or expired.
            KeysUnavailable: the token can't be verified now.
        """


@dataclass(frozen=True)
class Access:
    """Checks tokens and roles.

    Args:
        authenticator: of all routes; None permits every caller.
        carrier_authenticator: of the carrier's route; None selects `authenticator`.
        allow_anonymous_carrier: whether the carrier's route needs no token if there is no authenticator for it.
    """

    authenticator: Authenticator | None = None
    carrier_authenticator: Authenticator | None = None
    allow_anonymous_carrier: bool = True

    async def check(self, role: Role, token: str | None) -> Caller | None:
        """Authenticate the caller and check its roles.

        Args:
            role: that the route requires.
            token: of the request; None if it has none.

        Returns:
            The caller, or None if no authentication is configured.

        Raises:
            Unauthenticated: the token is missing or invalid.
            Forbidden: the token's roles don't include `role`.
            KeysUnavailable: the token can't be verified now.
        """
        is_carrier = role is Role.CARRIER
        authenticator = (is_carrier and self.carrier_authenticator) or self.authenticator
        if authenticator is None:
            if is_carrier and not self.allow_anonymous_carrier:
                raise Forbidden("carriers can't be authenticated; set ORDERFLEET_API_CARRIER_TOKENS_FILE", role)
            return None
        if not token:
            raise Unauthenticated("the token is missing; send it as `Authorization: Bearer TOKEN`", token_given=False)
        caller = await authenticator.authenticate(token)
        if not caller.may(role):
            raise Forbidden(f"{caller.name!r} doesn't have the role {role!s}; ask for a token that has it", role)
        return caller


_BEARER: Final = HTTPBearer(
    auto_error=False,
    scheme_name="bearer",
    description="A token of the tokens file or of the identity provider, as ORDERFLEET_API_AUTH says; with `none`"
    " no token is needed. `read` reads orders, `operate` changes them too, `carrier` sends carrier status updates.",
)

Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]


@dataclass(frozen=True)
class Admission:
    """An authorized request; it can be checked again while its response is streamed."""

    access: Access
    role: Role
    token: str | None
    caller: Caller | None

    async def still_valid(self) -> bool:
        """Whether the token is valid now: it may expire or be revoked while a stream is open."""
        try:
            await self.access.check(self.role, self.token)
        except KeysUnavailable:
            # An outage of the identity provider revokes nothing.
            return True
        except (Unauthenticated, Forbidden):
            return False
        return True

    def seconds_left(self) -> float:
        """Seconds until the token expires; infinite if it doesn't."""
        if self.caller is None or self.caller.expires_at is None:
            return math.inf
        return max(self.caller.expires_at - time.time(), 0.0)


async def admit(request: Request, role: Role) -> None:
    """Authorize the request and store the admission in its state.

    Args:
        request: whose token is checked.
        role: that the route requires.

    Raises:
        Unauthenticated: the token is missing or invalid.
        Forbidden: the token's roles don't include `role`.
        KeysUnavailable: the token can't be verified now.
    """
    access: Access = request.app.state.services.access
    credentials = await _BEARER(request)
    token = credentials.credentials if credentials else None
    caller = await access.check(role, token)
    request.state.admission = Admission(access, role, token, caller)
    request.state.caller = caller.name if caller else None


class _RequiredRole:
    """Dependency of a route; `GuardedRoute` checks the role before FastAPI resolves dependencies."""

    def __init__(self, role: Role) -> None:
        self.role = role

    async def __call__(self, request: Request, _credentials: Credentials) -> None:
        admission: Admission | None = getattr(request.state, "admission", None)
        if admission is None or admission.role is not self.role:
            raise RuntimeError(f"{request.url.path} has no GuardedRoute; give its router `route_class=GuardedRoute`")


def needs(role: Role) -> Any:
    """A router's dependency that restricts its routes to callers with `role`; the router needs `GuardedRoute`."""
    return Depends(_RequiredRole(role))


def role_of(dependencies: Iterable[Any]) -> Role | None:
    """The role that a route with these dependencies requires; None for a public route."""
    found = [each.dependency.role for each in dependencies if isinstance(each.dependency, _RequiredRole)]
    return found[-1] if found else None


def _admission(request: Request) -> Admission:
    admission: Admission = request.state.admission
    return admission


Admitted = Annotated[Admission, Depends(_admission)]
"""Parameter of a route: its admission."""


class _StrictRequest(Request):
    """A request whose JSON must not repeat keys or be nested too deep."""

    async def json(self) -> Any:
        """Return the body as JSON."""
        try:
            return read_json(await self.body())
        except JSONDecodeError:
            raise
        except (DuplicateKey, TooDeep) as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"the body {error}") from None


class GuardedRoute(APIRoute):
    """A route that authorizes the caller before FastAPI handles the request.

    FastAPI reads and parses the body before it resolves dependencies, so a dependency would let callers without a
    token cause work. A middleware runs before routing: it would need its own table of paths and roles, and a route that
    the table lacks would be open. The role is in the route's dependencies, which also describe it in OpenAPI.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of the route's requests."""
        handle = super().get_route_handler()
        role = role_of(self.dependencies)

        async def authorized(request: Request) -> Response:
            if role is not None:
                await admit(request, role)
            return await handle(_StrictRequest(request.scope, request.receive))

        return authorized
