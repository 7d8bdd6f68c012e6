"""`/orders/{id}/watch`: an order as it changes, as server-sent events (HTML standard, section 9.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header
from fastapi.responses import Response, StreamingResponse

from orderfleet.api.answers import STATUS_EXAMPLE
from orderfleet.api.auth.access import Role, needs
from orderfleet.api.fanout import Fanout, Mailbox
from orderfleet.api.parameters import IdOfOrder
from orderfleet.api.problems import documented
from orderfleet.api.services import Given
from orderfleet.client import Seen, Source, SourcedStatus
from orderfleet.contracts.record import RecordedOrder

router = APIRouter(prefix="/orders", tags=["orders"], dependencies=[needs(Role.READ)])

_MEDIA_TYPE: Final = "text/event-stream"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_EVENT: Final = {
    "type": "object",
    "description": "One event, on the wire as the lines `id: …`, `event: …`, `data: …` and an empty one.",
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
    **documented(401, 403, 404, 422, 503),
}


@router.get("/{order_id}/watch", summary="One order, as it changes", responses=_STREAM, response_class=Response)
async def watch(
    order_id: IdOfOrder,
    services: Given,
    last_event_id: Annotated[
        str | None,
        Header(alias="Last-Event-ID", max_length=100, description="Sent by browsers that connect again."),
    ] = None,
) -> Response:
    """The present state first, then each change as an event `status`; an event `end` after the order's end.

    After a lost connection the present state is told again. A comment keeps a quiet stream alive.
    """
    fanout = services.fanout
    # Before the look at the present state, so that no change falls between the two.
    mailbox = await fanout.subscribe(order_id)
    seen = await services.desk.seen(order_id)
    if seen.status.ended and last_event_id == str(seen.version):
        return Response(status_code=HTTPStatus.NO_CONTENT)
    events = _events(fanout, order_id, mailbox, seen, services.heartbeat_seconds)
    return StreamingResponse(events, media_type=_MEDIA_TYPE, headers=_HEADERS)


async def _events(
    fanout: Fanout, order_id: str, mailbox: Mailbox, seen: Seen, heartbeat_seconds: float
) -> AsyncIterator[str]:
    try:
        yield _event(seen)
        while not seen.status.ended:
            try:
                order = await mailbox.take(heartbeat_seconds)
            except EOFError:
                # This process drains; the client finds another.
                return
            if order is None:
                yield ": still here\n\n"
            elif order.version > seen.version:
                # The feed may tell again what was seen.
                seen = _seen(order)
                yield _event(seen)
        yield "event: end\ndata: {}\n\n"
    finally:
        fanout.unsubscribe(order_id, mailbox)


def _seen(order: RecordedOrder) -> Seen:
    return Seen(order.version, SourcedStatus(**order.status.model_dump(), source=Source.RECORD))


def _event(seen: Seen) -> str:
    return f"id: {seen.version}\nevent: status\ndata: {seen.status.model_dump_json()}\n\n"
