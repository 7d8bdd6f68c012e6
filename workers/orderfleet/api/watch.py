"""`/orders/{id}/watch`: an order as it changes, as server-sent events (HTML standard, section 9.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response, StreamingResponse
from fastapi.sse import format_sse_event

from orderfleet.api.access import Admission, Admitted, Role, needs
from orderfleet.api.dependencies import Given, Services
from orderfleet.api.fanout import Mailbox
from orderfleet.api.guarded_route import GuardedRoute
from orderfleet.api.problems import documented
from orderfleet.api.schemas import STATUS_EXAMPLE, IdOfOrder
from orderfleet.api.streams import StreamSlot
from orderfleet.domain.events import RecordedOrder
from orderfleet.services.orders import Source, SourcedStatus, VersionedStatus

router = APIRouter(route_class=GuardedRoute, prefix="/orders", tags=["orders"], dependencies=[needs(Role.READ)])

_MARGIN: Final = 0.05
"""Seconds after a token's expiry at which it is checked, so that no rounding makes it valid still."""
_MEDIA_TYPE: Final = "text/event-stream"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_EVENT: Final = {
    "type": "object",
    "description": "One event, on the wire as the lines `event: …`, `data: …`, `id: …` and an empty one.",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string", "description": "Rises with each change of the order."},
        "event": {"enum": ["status", "end"]},
        "data": {"type": "string", "description": "The order's status as JSON; `{}` at the end."},
    },
}
_EXAMPLE: Final = {
    "id": "7",
    "event": "status",
    "data": SourcedStatus.model_validate(STATUS_EXAMPLE).model_dump_json(),
}
_STREAM: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The events.", "content": {_MEDIA_TYPE: {"schema": _EVENT, "example": _EXAMPLE}}},
    204: {"description": "The order has ended and `Last-Event-ID` is its last state: don't come again."},
    **documented(401, 403, 404, 422, 429, 503),
}


@router.get("/{order_id}/watch", summary="One order, as it changes", responses=_STREAM, response_class=Response)
async def watch(
    order_id: IdOfOrder,
    services: Given,
    request: Request,
    admission: Admitted,
    last_event_id: Annotated[
        str | None,
        Header(alias="Last-Event-ID", max_length=100, description="Sent by browsers that connect again."),
    ] = None,
) -> Response:
    """The present state first, then each change as an event `status`; an event `end` after the order's end.

    After a lost connection the present state is sent again. A comment keeps a quiet stream alive. The stream ends
    without an event `end` when the token expires or is revoked, and when the process drains.
    """
    fanout = services.fanout
    slot = services.streams.take(_caller(request, admission))
    try:
        # Before the look at the present state, so that no change falls between the two.
        mailbox = await fanout.subscribe(order_id)
        seen = await services.orders.seen(order_id)
    except BaseException:
        services.streams.release(slot)
        raise
    if seen.status.ended and last_event_id == str(seen.version):
        services.streams.release(slot)
        return Response(status_code=HTTPStatus.NO_CONTENT)
    events = _events(services, order_id, mailbox, seen, admission, slot)
    return StreamingResponse(events, media_type=_MEDIA_TYPE, headers=_HEADERS)


def _caller(request: Request, admission: Admission) -> str:
    """Whose streams are counted together: those of one token's name, of one address where tokens aren't needed."""
    if admission.caller is not None:
        return admission.caller.name
    return request.client.host if request.client else ""


async def _events(
    services: Services, order_id: str, mailbox: Mailbox, seen: VersionedStatus, admission: Admission, slot: StreamSlot
) -> AsyncIterator[bytes]:
    try:
        yield _event(seen)
        while not seen.status.ended:
            try:
                order = await mailbox.take(min(services.heartbeat_seconds, admission.seconds_left() + _MARGIN))
            except EOFError:
                # This process drains; the client finds another.
                return
            if not await admission.still_valid():
                yield format_sse_event(comment="the token is no longer valid")
                return
            if order is None:
                yield format_sse_event(comment="no change")
            elif order.version > seen.version:
                # The feed may tell again what was seen.
                seen = _seen(order)
                yield _event(seen)
        yield format_sse_event(event="end", data_str="{}")
    finally:
        services.fanout.unsubscribe(order_id, mailbox)
        services.streams.release(slot)


def _seen(order: RecordedOrder) -> VersionedStatus:
    return VersionedStatus(order.version, SourcedStatus(**order.status.model_dump(), source=Source.RECORD))


def _event(seen: VersionedStatus) -> bytes:
    return format_sse_event(event="status", data_str=seen.status.model_dump_json(), id=str(seen.version))
