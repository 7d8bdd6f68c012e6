"""Which role a route needs and whether the caller has it. Routers depend on `needs`.

It must never tell a caller more than whether a token is missing, wrong, or of another role.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final, Protocol

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from orderfleet.contracts.errors import OrderfleetError


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


def needs(role: Role) -> Any:
    """What a router depends on so that its routes are only for callers with `role`."""

    async def check(request: Request, credentials: Credentials) -> None:
        access: Access = request.app.state.services.access
        caller = await access.check(role, credentials.credentials if credentials else None)
        request.state.caller = caller.name if caller else None

    checked: Callable[..., Awaitable[None]] = check
    return Depends(checked)
