"""`/orders/{order_id}/refunds` and `/orders/{order_id}/payment`: refunds and the ledger, also after the order's end."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, ConfigDict, Field

from orderfleet.api.access import GuardedRoute, Role, needs
from orderfleet.api.dependencies import ServicesDependency
from orderfleet.api.order_input import Unprocessable
from orderfleet.api.problems import REFUND_REJECTED, error_responses
from orderfleet.api.schemas import Body, ResolvedOrderId, example
from orderfleet.domain.base import MAX_TEXT_LENGTH
from orderfleet.domain.money import Price
from orderfleet.domain.refunds import LineQuantity, RefundId
from orderfleet.domain.strict_models import StrictModel
from orderfleet.services.errors import ChangeResult, InvalidRefund
from orderfleet.services.payment_views import PaymentWithLedger, RefundView
from orderfleet.services.refunds import refund_id_for

router = APIRouter(route_class=GuardedRoute, prefix="/orders/{order_id}", tags=["payments"])


class RefundLineTerms(LineQuantity, StrictModel):
    """Pieces of one line."""


class NewRefund(Body):
    """A refund: of an amount, or of pieces of lines."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"lines": [{"line": "1", "qty": 1}], "reason": "one cup was broken"},
                {"refund_id": "goodwill-1", "amount": "4.50", "reason": "late"},
            ]
        }
    )

    refund_id: RefundId | None = Field(
        default=None,
        description="Makes a repeated request the same refund. Default: derived from `Idempotency-Key`; without either,"
        " each request is another refund.",
        examples=["return-1"],
    )
    amount: Price | None = Field(
        default=None, description="In the order's currency, best as a string. Give this or `lines`.", examples=["4.50"]
    )
    lines: tuple[RefundLineTerms, ...] | None = Field(
        default=None,
        max_length=1000,
        description="Pieces at their price with their shares of discounts, taxes and fees. Shipping is refunded only if"
        " it is named.",
    )
    reason: str = Field(
        default="",
        max_length=MAX_TEXT_LENGTH,
        description="For people; shown in the audit trail.",
        examples=["one cup was broken"],
    )


class RefundAccepted(BaseModel):
    """The result of a request of a refund."""

    order_id: str
    refund_id: str = Field(description="Send it again to get the same refund.")
    result: ChangeResult = Field(
        description="`queued`: no worker answered; whether it can be refunded is decided when one runs."
    )
    message: str
    refund: RefundView | None = Field(default=None, description="Null while it is queued.")


class Refunds(BaseModel):
    """The refunds of an order, oldest first."""

    order_id: str
    refunds: tuple[RefundView, ...]


REFUND_EXAMPLE: Final[dict[str, Any]] = {
    "refund_id": "return-1",
    "order_id": "ord-1",
    "payment_id": "pay-ord-1",
    "status": "pending",
    "amount": "4.50",
    "shortfall": "0.00",
    "currency": "USD",
    "lines": [{"line": "1", "qty": 1}],
    "reason": "one cup was broken",
    "failure": "",
    "created_at": "2026-11-21T10:20:00.000000Z",
    "ended_at": None,
}

_ACCEPTED_EXAMPLE: Final[dict[str, Any]] = {
    "order_id": "ord-1",
    "refund_id": "return-1",
    "result": "accepted",
    "message": "4.50 USD of order ord-1 are refunded",
    "refund": REFUND_EXAMPLE,
}

_QUEUED_EXAMPLE: Final[dict[str, Any]] = {
    **_ACCEPTED_EXAMPLE,
    "result": "queued",
    "message": "no worker answered; when one runs, it decides about refund return-1 of order ord-1",
    "refund": None,
}

_PAYMENT_EXAMPLE: Final[dict[str, Any]] = {
    "order_id": "ord-1",
    "payment_id": "pay-ord-1",
    "status": "PARTIALLY_REFUNDED",
    "capture": "immediate",
    "currency": "USD",
    "amount": "9.00",
    "authorized": "9.00",
    "captured": "9.00",
    "refunded": "4.50",
    "charged_back": "0.00",
    "refundable": "4.50",
    "ordered_at": "2026-11-21T10:13:01.212050Z",
    "entries": [
        {
            "at": "2026-11-21T10:13:15.327000Z",
            "kind": "captured",
            "amount": "9.00",
            "currency": "USD",
            "source": "order",
            "reference": "ch_1",
            "key": "pay-ord-1",
            "counts": True,
        },
        {
            "at": "2026-11-21T10:20:00.100000Z",
            "kind": "refunded",
            "amount": "4.50",
            "currency": "USD",
            "source": "order",
            "reference": "re_1",
            "key": "pay-ord-1/refund/return-1/1",
            "counts": True,
        },
    ],
    "refunds": [{**REFUND_EXAMPLE, "status": "refunded", "ended_at": "2026-11-21T10:20:00.100000Z"}],
}

_REFUND_HEADERS: Final[dict[str, Any]] = {
    "headers": {
        "Idempotency-Replayed": {
            "description": "`true` if an earlier request made the refund.",
            "schema": {"type": "string"},
        }
    }
}

_READ: Final = [needs(Role.READ)]


@router.post(
    "/refunds",
    status_code=201,
    summary="Refund a part of an order",
    responses={
        **example(_ACCEPTED_EXAMPLE, status=201, description="Accepted.", **_REFUND_HEADERS),
        **example(_QUEUED_EXAMPLE, status=202, description="Queued: no worker answered in time.", model=RefundAccepted),
        **error_responses(
            400,
            401,
            403,
            404,
            408,
            409,
            413,
            422,
            503,
            rejection="5.00 USD cannot be refunded; 4.50 USD can be refunded",
            rejected=REFUND_REJECTED,
        ),
    },
    dependencies=[needs(Role.OPERATE)],
)
async def refund(
    order_id: ResolvedOrderId,
    body: NewRefund,
    services: ServicesDependency,
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            description="The same key with the same content is the same refund; with other content it is 409."
            " `refund_id` has precedence.",
        ),
    ] = None,
) -> RefundAccepted:
    """Refund an amount or pieces of lines, while the order runs or after its end.

    All refunds together never exceed what was captured. Two equal requests without an id are two refunds.
    """
    refund_id = body.refund_id or refund_id_for(idempotency_key)
    try:
        answer = await services.refunds.refund(
            order_id, refund_id, amount=body.amount, lines=body.lines or (), reason=body.reason
        )
    except InvalidRefund as invalid:
        raise Unprocessable(invalid.problems) from invalid
    if answer.refund is None:
        response.status_code = HTTPStatus.ACCEPTED
        message = f"no worker answered; when one runs, it decides about refund {refund_id} of order {order_id}"
        return RefundAccepted(
            order_id=order_id, refund_id=refund_id, result=answer.result, message=message, refund=None
        )
    if answer.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    view = answer.refund
    return RefundAccepted(
        order_id=order_id,
        refund_id=refund_id,
        result=answer.result,
        message=f"{view.amount} {view.currency} of order {order_id} are refunded",
        refund=view,
    )


@router.get(
    "/refunds",
    summary="List the refunds of an order",
    responses={
        **example({"order_id": "ord-1", "refunds": [REFUND_EXAMPLE]}, description="The refunds."),
        **error_responses(401, 403, 404, 422, 503),
    },
    dependencies=_READ,
)
async def refunds(order_id: ResolvedOrderId, services: ServicesDependency) -> Refunds:
    """The refunds of the order, oldest first, that of a canceled order included."""
    found = await services.payments.of_order(order_id)
    return Refunds(order_id=order_id, refunds=found.refunds)


@router.get(
    "/payment",
    summary="Read the payment and its ledger",
    responses={**example(_PAYMENT_EXAMPLE, description="The payment."), **error_responses(401, 403, 404, 422, 503)},
    dependencies=_READ,
)
async def payment(order_id: ResolvedOrderId, services: ServicesDependency) -> PaymentWithLedger:
    """The payment of the order: what was authorized, captured and refunded, and each movement of money."""
    return await services.payments.of_order(order_id)
