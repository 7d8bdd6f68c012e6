"""`/orders/{id}/watch`: the changes of an order as server-sent events (HTML standard, section 9.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import format_sse_event

from orderfleet.api.access import Admission, Admitted, GuardedRoute, Role, needs
from orderfleet.api.dependencies import Services, ServicesDependency
from orderfleet.api.fanout import Mailbox, StreamSlot
from orderfleet.api.problems import error_responses
from orderfleet.api.schemas import STATUS_EXAMPLE, ResolvedOrderId
from orderfleet.services.errors import SourcedStatus
from orderfleet.services.orders import VersionedStatus

router = APIRouter(route_class=GuardedRoute, prefix="/orders", tags=["orders"], dependencies=[needs(Role.READ)])

_EXPIRY_MARGIN: Final = 0.05
"""Seconds after a token's expiry at which it is checked again, so that rounding can't make it valid."""
_MEDIA_TYPE: Final = "text/event-stream"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_EVENT: Final = {
    "type": "object",
    "description": "One event: the lines `event: …`, `data: …`, `id: …` and an empty line.",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string", "description": "Increases with each change of the order."},
        "event": {"enum": ["status", "end"]},
        "data": {"type": "string", "description": "The order's status as JSON; `{}` at the end."},
    },
}
_EXAMPLE: Final = {"id": "7", "event": "status", "data": SourcedStatus.model_validate(STATUS_EXAMPLE).model_dump_json()}
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The events.", "content": {_MEDIA_TYPE: {"schema": _EVENT, "example": _EXAMPLE}}},
    204: {"description": "The order has ended and `Last-Event-ID` is its last event: do not reconnect."},
    **error_responses(401, 403, 404, 422, 429, 503),
}


@router.get("/{order_id}/watch", summary="Watch an order", responses=_STREAM, response_class=Response)
async def watch(
    order_id: ResolvedOrderId,
    services: ServicesDependency,
    request: Request,
    admission: Admitted,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", max_length=100, description="Sent by browsers when they reconnect.")
    ] = None,
) -> Response:
    """The current status and then each change as a `status` event, and an `end` event when the order has ended.

    A new connection starts with the current status. Comments keep an inactive stream open. The stream closes without
    an `end` event when the token expires or is revoked, and when the process drains.
    """
    fanout = services.fanout
    slot = services.streams.acquire(_stream_owner(request, admission))
    try:
        # Subscribe before the status is read, so that no change between the two is missed.
        mailbox = await fanout.subscribe(order_id)
        current = await services.orders.versioned(order_id)
    except BaseException:
        services.streams.release(slot)
        raise
    if current.status.ended and last_event_id == str(current.version):
        services.streams.release(slot)
        return Response(status_code=HTTPStatus.NO_CONTENT)
    events = _events(services, order_id, mailbox, current, admission, slot)
    return StreamingResponse(events, media_type=_MEDIA_TYPE, headers=_HEADERS)


def _stream_owner(request: Request, admission: Admission) -> str:
    """Key of the stream limit: the name of the token, or the client's address if no token is required."""
    if admission.caller is not None:
        return admission.caller.name
    return request.client.host if request.client else ""


async def _events(
    services: Services,
    order_id: str,
    mailbox: Mailbox,
    current: VersionedStatus,
    admission: Admission,
    slot: StreamSlot,
) -> AsyncIterator[bytes]:
    try:
        yield _event(current)
        while not current.status.ended:
            try:
                order = await mailbox.take(min(services.heartbeat_seconds, admission.seconds_left() + _EXPIRY_MARGIN))
            except EOFError:
                # The process drains; the client reconnects to another replica.
                return
            if not await admission.still_valid():
                yield format_sse_event(comment="the token is no longer valid")
                return
            if order is None:
                yield format_sse_event(comment="no change")
            elif order.version > current.version:
                # The feed may repeat versions that were sent.
                current = VersionedStatus.recorded(order)
                yield _event(current)
        yield format_sse_event(event="end", data_str="{}")
    finally:
        services.fanout.unsubscribe(order_id, mailbox)
        services.streams.release(slot)


def _event(current: VersionedStatus) -> bytes:
    return format_sse_event(event="status", data_str=current.status.model_dump_json(), id=str(current.version))
