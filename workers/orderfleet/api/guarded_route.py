"""The route class of every router: it authorizes the caller before the body is read, and parses JSON strictly."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from json import JSONDecodeError
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from orderfleet.api.access import admit, role_of
from orderfleet.domain.strict_models import DuplicateKey, TooDeep, read_json


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
    token cause work.
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
