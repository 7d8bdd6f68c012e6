"""Problem documents (RFC 9457): the format of every error response.

The text of an unexpected error must never be in a response, only in the log.
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
from orderfleet.api.fanout import TooManyStreams
from orderfleet.api.order_input import Unprocessable
from orderfleet.domain.errors import (
    InvalidWebhook,
    OrderfleetError,
    PayloadDecryptionError,
    PaymentConflict,
    ReferenceConflict,
    StoreUnavailable,
)
from orderfleet.domain.inputs import field_path, validation_message
from orderfleet.providers.connections import InvalidProviderFile
from orderfleet.services.errors import (
    OrderChangeRejected,
    OrderEnded,
    OrderIdConflict,
    OrderNotFound,
    RefundIdConflict,
    RefundRejected,
    ShipmentNotFound,
    StockKeyConflict,
    StockRejected,
    TemporalUnavailable,
)

_log = structlog.get_logger()

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 2

_PREFIX: Final = "urn:orderfleet:problem:"


class FieldProblem(BaseModel):
    """An invalid field of the request."""

    field: str = Field(examples=["items[0].qty"])
    message: str = Field(examples=["0 is below 1; order at least one"])


class Problem(BaseModel):
    """A problem document."""

    type: str = Field(examples=[f"{_PREFIX}order-not-found"], description="Stable name of the problem type.")
    title: str = Field(examples=["Order not found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no order 'ord-1'"], description="What happened, and what to do.")
    instance: str = Field(examples=["/orders/ord-1"], description="Path of the request.")
    errors: list[FieldProblem] = Field(default=[], description="The invalid fields, for status 422.")


class ProblemType(NamedTuple):
    """Status, name and title that all problems of a type have."""

    status: int
    name: str
    title: str


_INVALID: Final = ProblemType(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", "Invalid request")
_MALFORMED: Final = ProblemType(HTTPStatus.BAD_REQUEST, "malformed", "Malformed request")
_BODY_TIMEOUT: Final = ProblemType(HTTPStatus.REQUEST_TIMEOUT, "body-timeout", "Body too slow")
HEAD_TIMEOUT: Final = ProblemType(HTTPStatus.REQUEST_TIMEOUT, "request-timeout", "Request too slow")
BUSY: Final = ProblemType(HTTPStatus.SERVICE_UNAVAILABLE, "busy", "Too many connections")
_TOO_MANY_STREAMS: Final = ProblemType(HTTPStatus.TOO_MANY_REQUESTS, "too-many-streams", "Too many streams")
_TOO_LARGE: Final = ProblemType(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", "Body too large")
_UNAUTHENTICATED: Final = ProblemType(HTTPStatus.UNAUTHORIZED, "unauthenticated", "Not authenticated")
_FORBIDDEN: Final = ProblemType(HTTPStatus.FORBIDDEN, "forbidden", "Not permitted")
_NOT_FOUND: Final = ProblemType(HTTPStatus.NOT_FOUND, "order-not-found", "Order not found")
_ORDER_ID_CONFLICT: Final = ProblemType(HTTPStatus.CONFLICT, "order-id-conflict", "Order id conflict")
_CHANGE_REJECTED: Final = ProblemType(HTTPStatus.CONFLICT, "change-rejected", "Change rejected")
REFUND_REJECTED: Final = ProblemType(HTTPStatus.CONFLICT, "not-refundable", "Not refundable")
STOCK_REJECTED: Final = ProblemType(HTTPStatus.CONFLICT, "not-in-stock", "Not in stock")
_TEMPORAL_UNAVAILABLE: Final = ProblemType(
    HTTPStatus.SERVICE_UNAVAILABLE, "temporal-unavailable", "Temporal is unavailable"
)
_INTERNAL: Final = ProblemType(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "Internal error")

_BODY_PROBLEMS: Final = {each.status: each for each in (_MALFORMED, _BODY_TIMEOUT, _TOO_LARGE)}
"""By status of the HTTPException: FastAPI turns every other exception raised while it reads a body into a 400."""

_PROBLEM_TYPES: Final[dict[type[OrderfleetError], ProblemType]] = {
    Unprocessable: _INVALID,
    Unauthenticated: _UNAUTHENTICATED,
    Forbidden: _FORBIDDEN,
    KeysUnavailable: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE, "keys-unavailable", "The identity provider is unavailable"
    ),
    OrderNotFound: _NOT_FOUND,
    ShipmentNotFound: ProblemType(HTTPStatus.NOT_FOUND, "shipment-not-found", "Shipment not found"),
    OrderIdConflict: _ORDER_ID_CONFLICT,
    PaymentConflict: ProblemType(HTTPStatus.CONFLICT, "payment-id-conflict", "Payment id conflict"),
    ReferenceConflict: ProblemType(HTTPStatus.CONFLICT, "reference-conflict", "Reference conflict"),
    OrderChangeRejected: _CHANGE_REJECTED,
    OrderEnded: ProblemType(HTTPStatus.CONFLICT, "ended", "The order has ended"),
    RefundRejected: REFUND_REJECTED,
    RefundIdConflict: ProblemType(HTTPStatus.CONFLICT, "refund-id-conflict", "Refund id conflict"),
    StockRejected: STOCK_REJECTED,
    StockKeyConflict: ProblemType(HTTPStatus.CONFLICT, "adjustment-id-conflict", "Adjustment id conflict"),
    TemporalUnavailable: _TEMPORAL_UNAVAILABLE,
    PayloadDecryptionError: ProblemType(HTTPStatus.UNPROCESSABLE_ENTITY, "undecryptable", "No key for this payload"),
    TooManyStreams: _TOO_MANY_STREAMS,
    InvalidWebhook: ProblemType(HTTPStatus.BAD_REQUEST, "invalid-webhook", "Invalid webhook"),
    InvalidProviderFile: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE, "webhook-secrets-unavailable", "The signing secrets can't be read"
    ),
    StoreUnavailable: ProblemType(
        HTTPStatus.SERVICE_UNAVAILABLE, "store-unavailable", "The order store is unavailable"
    ),
}

_RETRYABLE: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""Statuses after which the same request may succeed later."""

_UNAVAILABLE: Final = "Temporal, Postgres or the identity provider is unavailable; send the same request again."

_EXAMPLES: Final[dict[int, tuple[ProblemType, str]]] = {
    400: (_MALFORMED, "the body is not JSON"),
    401: (_UNAUTHENTICATED, "the token is missing; send it as `Authorization: Bearer TOKEN`"),
    403: (_FORBIDDEN, "'support' doesn't have the role operate; ask for a token that has it"),
    404: (_NOT_FOUND, "there is no order 'ord-1'"),
    408: (_BODY_TIMEOUT, "the body did not arrive within 10 s; send it faster"),
    409: (_ORDER_ID_CONFLICT, "order id 'ord-1' was used before with another content; choose another order id"),
    413: (_TOO_LARGE, "the body is above 1048576 bytes; send a smaller one"),
    422: (_INVALID, "items[0].qty: 0 is below 1; order at least one"),
    429: (_TOO_MANY_STREAMS, "100 streams are open for this caller; close one of them first"),
    503: (_TEMPORAL_UNAVAILABLE, "Temporal is unavailable; send the same request again"),
}


def install(app: FastAPI) -> None:
    """Add handlers to `app` that turn every error into a problem document."""
    app.add_exception_handler(OrderfleetError, _handle_orderfleet_error)
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(HTTPException, _handle_http_exception)
    app.add_exception_handler(Exception, _handle_unexpected_error)


def too_large_detail(limit: int) -> str:
    """Detail of the problem that a body exceeds the limit."""
    return f"the body is above {limit} bytes; send a smaller one"


def error_responses(
    *statuses: int, rejection: str = "", rejected: ProblemType = _CHANGE_REJECTED
) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI descriptions of a route's errors.

    Args:
        statuses: of the errors.
        rejection: example of the detail of a rejected change, for routes whose 409 has that meaning.
        rejected: the type of that problem.
    """
    conflict = {int(HTTPStatus.CONFLICT): (rejected, rejection)} if rejection else {}
    examples = {**_EXAMPLES, **conflict}
    return {status: _description(*examples[status]) for status in statuses}


def _description(problem_type: ProblemType, detail: str) -> dict[str, Any]:
    content = {
        "schema": {"$ref": f"#/components/schemas/{Problem.__name__}"},
        "example": _problem(
            problem_type, detail, "/orders/ord-1", _fields([detail]) if problem_type is _INVALID else []
        ),
    }
    described: dict[str, Any] = {
        "description": _UNAVAILABLE if problem_type is _TEMPORAL_UNAVAILABLE else problem_type.title,
        "content": {MEDIA_TYPE: content},
    }
    if problem_type.status in _RETRYABLE:
        seconds = {"description": "Seconds to wait before the request is sent again.", "schema": {"type": "integer"}}
        described["headers"] = {"Retry-After": seconds}
    if problem_type in {_UNAUTHENTICATED, _FORBIDDEN}:
        challenge = {"description": "What the request lacks (RFC 6750).", "schema": {"type": "string"}}
        described["headers"] = {"WWW-Authenticate": challenge}
    return described


def problem_without_request(problem_type: ProblemType, detail: str) -> dict[str, Any]:
    """The problem document of a connection whose request was not read."""
    return {
        "type": _PREFIX + problem_type.name,
        "title": problem_type.title,
        "status": int(problem_type.status),
        "detail": detail,
    }


def _problem(problem_type: ProblemType, detail: str, path: str, errors: list[FieldProblem]) -> dict[str, Any]:
    problem = Problem(
        type=_PREFIX + problem_type.name,
        title=problem_type.title,
        status=problem_type.status,
        detail=detail,
        instance=path,
        errors=errors,
    )
    return problem.model_dump(exclude_defaults=True)


def _response(
    request: Request, problem_type: ProblemType, detail: str, errors: list[FieldProblem] | None = None
) -> JSONResponse:
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if problem_type.status in _RETRYABLE else None
    content = _problem(problem_type, detail, request.url.path, errors or [])
    return JSONResponse(content, status_code=problem_type.status, media_type=MEDIA_TYPE, headers=headers)


async def _handle_orderfleet_error(request: Request, error: Exception) -> JSONResponse:
    errors = _fields(error.problems) if isinstance(error, Unprocessable) else None
    for error_type, problem_type in _PROBLEM_TYPES.items():
        if isinstance(error, error_type):
            if problem_type.status == HTTPStatus.SERVICE_UNAVAILABLE:
                # The message of the driver is for the operator of the API, not for its callers.
                _log.warning(problem_type.title, path=request.url.path, error=str(error))
                return _response(request, problem_type, f"{problem_type.title}; send the same request again")
            response = _response(request, problem_type, str(error), errors)
            if isinstance(error, Unauthenticated | Forbidden):
                response.headers["WWW-Authenticate"] = error.challenge
            return response
    return await _handle_unexpected_error(request, error)


async def _handle_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(problem["type"] == "json_invalid" for problem in found):
        return _response(request, _MALFORMED, "the body is not JSON")
    errors = [FieldProblem(field=_path(problem["loc"]), message=_message(problem)) for problem in found]
    return _response(request, _INVALID, "; ".join(f"{one.field}: {one.message}" for one in errors), errors)


async def _handle_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status, detail = HTTPStatus(error.status_code), str(error.detail)
    problem_type = _BODY_PROBLEMS.get(status)
    if problem_type is None:
        problem_type = ProblemType(status, status.phrase.lower().replace(" ", "-"), status.phrase)
        detail = f"{request.method} {request.url.path}: {status.phrase}; /docs lists the routes"
    response = _response(request, problem_type, detail)
    response.headers.update(error.headers or {})
    return response


async def _handle_unexpected_error(request: Request, _error: Exception) -> JSONResponse:
    response = _response(
        request, _INTERNAL, "an unexpected error occurred; the API's log has the details under this request id"
    )
    # This handler runs outside of the middlewares, so `RequestLog` does not add the header.
    response.headers["X-Request-ID"] = getattr(request.state, "request_id", "")
    return response


def _fields(problems: list[str]) -> list[FieldProblem]:
    parts = (problem.partition(": ") for problem in problems)
    return [FieldProblem(field=field, message=message) for field, _, message in parts]


def _path(location: tuple[str | int, ...]) -> str:
    """Path of a field: `("body", "items", 0, "qty")` gives `items[0].qty`."""
    return field_path(location[1:] if location[0] in ("body", "path", "query", "header") else location) or "body"


def _message(problem: dict[str, Any]) -> str:
    if problem["type"] == "model_attributes_type" and problem["loc"] == ("body",):
        return "has to be a JSON object; send it with Content-Type: application/json"
    return validation_message(problem)
