"""The route class of every router: who calls is checked before the body is read, and JSON is read strictly."""

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
    """A request whose JSON has every key once and is not nested too deep."""

    async def json(self) -> Any:
        """Return the body as JSON."""
        try:
            return read_json(await self.body())
        except JSONDecodeError:
            raise
        except (DuplicateKey, TooDeep) as error:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"the body {error}") from None


class GuardedRoute(APIRoute):
    """A route that FastAPI serves once the caller may use it.

    FastAPI itself reads and parses the body before it resolves a dependency, so a dependency is too late to keep
    callers without a token from having work done for them.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route's requests."""
        handle = super().get_route_handler()
        role = role_of(self.dependencies)

        async def guarded(request: Request) -> Response:
            if role is not None:
                await admit(request, role)
            return await handle(_StrictRequest(request.scope, request.receive))

        return guarded
