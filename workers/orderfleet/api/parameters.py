"""Parameters that more than one route takes: ids in a path or a body, and the key of a request."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Header, Path, Request
from pydantic import StringConstraints

from orderfleet.contracts.base import WORKFLOW_ID, OrderId

IdOfOrder = Annotated[OrderId, Path(description="The order's id.", examples=["ord-1"])]

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
