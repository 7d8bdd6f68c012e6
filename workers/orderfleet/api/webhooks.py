"""`/webhooks/stripe`: reports of the payment provider.

The signature authenticates the caller, so no token is needed. A repeated, late or unknown event must not be an error,
because the provider would send it again for days.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, Field

from orderfleet.api.dependencies import ServicesDependency
from orderfleet.api.problems import error_responses
from orderfleet.api.schemas import example
from orderfleet.services.errors import UpdateResult

router = APIRouter(prefix="/webhooks", tags=["payment provider"])


class WebhookAccepted(BaseModel):
    """The result of a webhook."""

    result: UpdateResult = Field(description="`ignored`: the event says nothing new of a payment of ours.")


_SIGNATURE: Final = "Stripe-Signature"

# Described only: FastAPI would answer a missing header with 422.
_REQUEST: Final = {
    "parameters": [
        {
            "name": _SIGNATURE,
            "in": "header",
            "required": True,
            "description": "Signature of the body.",
            "schema": {"type": "string"},
        }
    ],
}


@router.post(
    "/stripe",
    summary="Receive an event of Stripe",
    responses={**example({"result": "accepted"}), **error_responses(400, 404, 408, 413, 503)},
    openapi_extra=_REQUEST,
)
async def stripe(request: Request, services: ServicesDependency) -> WebhookAccepted:
    """Record what the event says of a payment. 400: the signature is wrong; 404: no signing secret is configured."""
    if services.payment_reports is None or services.payment_updates is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    update = services.payment_reports.read(await request.body(), request.headers.get(_SIGNATURE, ""))
    if update is None:
        return WebhookAccepted(result=UpdateResult.IGNORED)
    return WebhookAccepted(result=await services.payment_updates.apply(update))
