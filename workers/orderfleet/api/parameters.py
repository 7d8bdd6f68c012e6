"""Parameters that more than one route takes: ids in a path or a body, and the key of a request."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Header, Path, Request
from pydantic import StringConstraints
from structlog.contextvars import bind_contextvars

from orderfleet.api.services import Given
from orderfleet.contracts.base import ORDER_NAME, WORKFLOW_ID, OrderId
from orderfleet.contracts.names import may_be_workflow_id

NewOrderId = Annotated[OrderId, Path(description="The order's id; an id is used only once.", examples=["ord-1"])]
"""In the path of a start, where it is never read as a workflow's id."""

_NAME: Final = "The order's id, or its workflow's: `order-` and the order id. An order id is looked for first."
OrderName = Annotated[
    str, StringConstraints(pattern=ORDER_NAME), Path(alias="order_id", description=_NAME, examples=["ord-1"])
]


async def _order_id(name: OrderName, services: Given) -> str:
    if not may_be_workflow_id(name):
        return name
    order_id = await services.desk.order_id_of(name)
    # The request's line in the log has the order's id, whichever the path has.
    bind_contextvars(order_id=order_id)
    return order_id


IdOfOrder = Annotated[str, Depends(_order_id)]
"""Id of the order that the path names by its id or its workflow's."""

WorkflowId = Annotated[str, StringConstraints(pattern=WORKFLOW_ID)]
"""Id of an order's workflow: `order-` and the order id."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="The same key with the same content answers the same; with another content it is 409.",
    ),
]

KEY_OF_CHANGE: Final = "The same key with the same change is one change; left out, the request's own id is the key."
KeyOfChange = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255, description=KEY_OF_CHANGE)
]


def _request_id(request: Request, idempotency_key: KeyOfChange = None) -> str:
    return idempotency_key or str(getattr(request.state, "request_id", ""))


RequestId = Annotated[str, Depends(_request_id)]
"""What makes a change that is sent again the same change."""
