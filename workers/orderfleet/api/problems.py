"""Problem documents (RFC 9457): the one shape of every error that the API answers.

`app` installs the handlers, routes document their errors with `documented`. A handler must never
show what only a log should: an unexpected error's text stays out of its document.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, NamedTuple

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from orderfleet.api.access import Forbidden, KeysUnavailable, Unauthenticated
from orderfleet.api.order_input import Unprocessable
from orderfleet.api.streams import TooManyStreams
from orderfleet.domain.errors import OrderfleetError, PayloadDecryptionError, PaymentConflict, StoreUnavailable
from orderfleet.domain.validation_messages import validation_message
from orderfleet.services.errors import (
    OrderChangeRejected,
    OrderEnded,
    OrderIdConflict,
    OrderNotFound,
    ShipmentNotFound,
    TemporalUnavailable,
)

_log = structlog.get_logger()

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 2

_PREFIX: Final = "urn:orderfleet:problem:"


class FieldProblem(BaseModel):
    """What is wrong with one field of the request."""

    field: str = Field(examples=["items[0].qty"])
    message: str = Field(examples=["0 is below 1; order at least one"])


class Problem(BaseModel):
    """A problem document."""

    type: str = Field(examples=[f"{_PREFIX}order-not-found"], description="Stable name of the kind of problem.")
    title: str = Field(examples=["Order not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no order 'ord-1'"], description="What happened here and what to do.")
    instance: str = Field(examples=["/orders/ord-1"], description="Path of the request.")
    errors: list[FieldProblem] = Field(default=[], description="The wrong fields, for status 422.")


class Kind(NamedTuple):
    """What all problems of a kind have in common."""

    status: int
    name: str
    title: str


_INVALID: Final = Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "Invalid request")
_MALFORMED: Final = Kind(HTTPStatus.BAD_REQUEST, "malformed", "Malformed request")
_TOO_SLOW: Final = Kind(HTTPStatus.REQUEST_TIMEOUT, "body-timeout", "Body too slow")
HEAD_TIMEOUT: Final = Kind(HTTPStatus.REQUEST_TIMEOUT, "request-timeout", "Request too slow")
BUSY: Final = Kind(HTTPStatus.SERVICE_UNAVAILABLE, "busy", "Too many connections")
_TOO_MANY_STREAMS: Final = Kind(HTTPStatus.TOO_MANY_REQUESTS, "too-many-streams", "Too many streams")
_TOO_LARGE: Final = Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "Body too large")
_UNAUTHENTICATED: Final = Kind(HTTPStatus.UNAUTHORIZED, "unauthenticated", "Who calls is not known")
_FORBIDDEN: Final = Kind(HTTPStatus.FORBIDDEN, "forbidden", "Not for this caller")
_NOT_FOUND: Final = Kind(HTTPStatus.NOT_FOUND, "order-not-found", "Order not found")
_TAKEN: Final = Kind(HTTPStatus.CONFLICT, "order-id-taken", "Order id taken")
_REFUSED: Final = Kind(HTTPStatus.CONFLICT, "refused", "The order refused the change")
_TEMPORAL_AWAY: Final = Kind(HTTPStatus.SERVICE_UNAVAILABLE, "temporal-away", "Temporal is away")
_INTERNAL: Final = Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Internal error")

_OF_BODIES: Final = {kind.status: kind for kind in (_MALFORMED, _TOO_SLOW, _TOO_LARGE)}
"""What `body` and `guarded` raise as errors of HTTP, because FastAPI makes 400 of any other error in a body."""

_OF_ERRORS: Final[dict[type[OrderfleetError], Kind]] = {
    Unprocessable: _INVALID,
    Unauthenticated: _UNAUTHENTICATED,
    Forbidden: _FORBIDDEN,
    KeysUnavailable: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "keys-away", "The identity provider is away"),
    OrderNotFound: _NOT_FOUND,
    ShipmentNotFound: Kind(HTTPStatus.NOT_FOUND, "shipment-not-found", "Shipment not found"),
    OrderIdConflict: _TAKEN,
    PaymentConflict: Kind(HTTPStatus.CONFLICT, "payment-id-taken", "Payment id taken"),
    OrderChangeRejected: _REFUSED,
    OrderEnded: Kind(HTTPStatus.CONFLICT, "ended", "The order has ended"),
    TemporalUnavailable: _TEMPORAL_AWAY,
    PayloadDecryptionError: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "sealed", "No key for this payload"),
    TooManyStreams: _TOO_MANY_STREAMS,
    StoreUnavailable: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "store-away", "The record is away"),
}

_LATER: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""Errors after which the same request may go through later."""

_AWAY: Final = "Temporal, Postgres or the identity provider is away; make the same request again."

_EXAMPLES: Final[dict[int, tuple[Kind, str]]] = {
    400: (_MALFORMED, "the body is not JSON"),
    401: (_UNAUTHENTICATED, "the token is missing; send it as `Authorization: Bearer TOKEN`"),
    403: (_FORBIDDEN, "'support' doesn't have the role operate; ask for a token that has it"),
    404: (_NOT_FOUND, "there is no order 'ord-1'"),
    408: (_TOO_SLOW, "the body did not arrive within 10 s; send it faster"),
    409: (_TAKEN, "order id 'ord-1' was used before with another content; choose another order id"),
    413: (_TOO_LARGE, "the body is above 1048576 bytes; send a smaller one"),
    422: (_INVALID, "items[0].qty: 0 is below 1; order at least one"),
    429: (_TOO_MANY_STREAMS, "100 streams are open for this caller; close one of them first"),
    503: (_TEMPORAL_AWAY, "Temporal is away; make the same request again"),
}


def install(app: FastAPI) -> None:
    """Answer every error of `app` with a problem document."""
    app.add_exception_handler(OrderfleetError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def too_large_detail(limit: int) -> str:
    """What the problem of such a body says."""
    return f"the body is above {limit} bytes; send a smaller one"


def documented(*statuses: int, refusal: str = "") -> dict[int | str, dict[str, Any]]:
    """The OpenAPI descriptions of a route's errors; `app` adds the schema they refer to.

    Args:
        statuses: of the errors.
        refusal: what an order that refuses a change may say, for routes whose 409 is that.
    """
    told = {**_EXAMPLES, int(HTTPStatus.CONFLICT): (_REFUSED, refusal)} if refusal else _EXAMPLES
    return {status: _description(*told[status]) for status in statuses}


def _description(kind: Kind, detail: str) -> dict[str, Any]:
    content = {
        "schema": {"$ref": f"#/components/schemas/{Problem.__name__}"},
        "example": _problem(kind, detail, "/orders/ord-1", _fields([detail]) if kind is _INVALID else []),
    }
    described: dict[str, Any] = {
        "description": _AWAY if kind is _TEMPORAL_AWAY else kind.title,
        "content": {MEDIA_TYPE: content},
    }
    if kind.status in _LATER:
        seconds = {"description": "Seconds to wait before the same request again.", "schema": {"type": "integer"}}
        described["headers"] = {"Retry-After": seconds}
    if kind in {_UNAUTHENTICATED, _FORBIDDEN}:
        challenge = {"description": "What is missing (RFC 6750).", "schema": {"type": "string"}}
        described["headers"] = {"WWW-Authenticate": challenge}
    return described


def without_request(kind: Kind, detail: str) -> dict[str, Any]:
    """The problem of a connection whose request never came."""
    return {"type": _PREFIX + kind.name, "title": kind.title, "status": int(kind.status), "detail": detail}


def _problem(kind: Kind, detail: str, path: str, errors: list[FieldProblem]) -> dict[str, Any]:
    problem = Problem(
        type=_PREFIX + kind.name, title=kind.title, status=kind.status, detail=detail, instance=path, errors=errors
    )
    return problem.model_dump(exclude_defaults=True)


def _answer(request: Request, kind: Kind, detail: str, errors: list[FieldProblem] | None = None) -> JSONResponse:
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if kind.status in _LATER else None
    content = _problem(kind, detail, request.url.path, errors or [])
    return JSONResponse(content, status_code=kind.status, media_type=MEDIA_TYPE, headers=headers)


async def _ours(request: Request, error: Exception) -> JSONResponse:
    errors = _fields(error.problems) if isinstance(error, Unprocessable) else None
    for known, kind in _OF_ERRORS.items():
        if isinstance(error, known):
            if kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
                # Whoever runs the API needs the driver's words, whoever calls it doesn't.
                _log.warning(kind.title, path=request.url.path, error=str(error))
                return _answer(request, kind, f"{kind.title}; make the same request again")
            answer = _answer(request, kind, str(error), errors)
            if isinstance(error, Unauthenticated | Forbidden):
                answer.headers["WWW-Authenticate"] = error.challenge
            return answer
    return await _unexpected(request, error)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    found = error.errors() if isinstance(error, RequestValidationError) else []
    if any(problem["type"] == "json_invalid" for problem in found):
        return _answer(request, _MALFORMED, "the body is not JSON")
    errors = [FieldProblem(field=_path(problem["loc"]), message=_message(problem)) for problem in found]
    return _answer(request, _INVALID, "; ".join(f"{one.field}: {one.message}" for one in errors), errors)


async def _http(request: Request, error: Exception) -> JSONResponse:
    status = HTTPStatus(error.status_code) if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    kind = _OF_BODIES.get(status)
    if kind is not None and isinstance(error, HTTPException):
        answer = _answer(request, kind, str(error.detail))
        answer.headers.update(error.headers or {})
        return answer
    kind = Kind(status, status.phrase.lower().replace(" ", "-"), status.phrase)
    answer = _answer(request, kind, f"{request.method} {request.url.path}: {status.phrase}; /docs lists the routes")
    if isinstance(error, HTTPException) and error.headers:
        answer.headers.update(error.headers)
    return answer


async def _unexpected(request: Request, _error: Exception) -> JSONResponse:
    answer = _answer(request, _INTERNAL, "something unexpected went wrong here; the log of the API says what")
    # This answer is made outside of everything else, so nobody else adds it.
    answer.headers["X-Request-ID"] = getattr(request.state, "request_id", "")
    return answer


def _fields(problems: list[str]) -> list[FieldProblem]:
    parts = (problem.partition(": ") for problem in problems)
    return [FieldProblem(field=field, message=message) for field, _, message in parts]


def _path(location: tuple[str | int, ...]) -> str:
    """`("body", "items", 0, "qty")` as people write it: `items[0].qty`."""
    path = ""
    for part in location[1:] if location[0] in ("body", "path", "query", "header") else location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path or "body"


def _message(problem: dict[str, Any]) -> str:
    if problem["type"] == "model_attributes_type" and problem["loc"] == ("body",):
        return "has to be a JSON object; send it with Content-Type: application/json"
    return validation_message(problem)
