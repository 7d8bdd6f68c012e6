"""`/stock`: locations, levels, counts, adjustments and movements of stock in Postgres."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from orderfleet.api.access import GuardedRoute, Role, needs
from orderfleet.api.cursors import decode_cursor, encode_cursor
from orderfleet.api.dependencies import ServicesDependency
from orderfleet.api.order_input import Unprocessable
from orderfleet.api.problems import STOCK_REJECTED, error_responses
from orderfleet.api.schemas import Body, example
from orderfleet.domain.base import LOCATION_ID, Contract, Int64
from orderfleet.domain.stock import (
    MAX_PIECES,
    CountResult,
    LevelCount,
    LevelPosition,
    LocationId,
    Reason,
    StockFilter,
    StockLevel,
    StockLocation,
    StockMovement,
    StockSku,
)
from orderfleet.domain.strict_models import StrictModel
from orderfleet.services.errors import UnknownLocation

router = APIRouter(route_class=GuardedRoute, prefix="/stock", tags=["stock"])

MAX_COUNTS: Final = 1000
"""Levels of one request, which answers within 2 s; `orderfleet stock import` takes more."""

_READ: Final = [needs(Role.READ)]
_OPERATE: Final = [needs(Role.OPERATE)]
_CHANGE_ERRORS: Final = (400, 401, 403, 408, 413, 422, 503)

_LOCATION_EXAMPLE: Final = {"location": "east", "name": "East warehouse", "priority": 10, "active": True}
_MOVEMENT_EXAMPLE: Final = {
    "id": 17,
    "at": "2026-11-21T10:20:00.000000Z",
    "sku": "tea-100",
    "location": "east",
    "kind": "adjusted",
    "qty": -2,
    "on_hand": 38,
    "reason": "broken in the warehouse",
    "actor": "support",
    "owner": "",
    "line": "",
    "key": "broken-17",
}


def _actor(request: Request) -> str:
    return getattr(request.state, "caller", None) or "api"


Actor = Annotated[str, Depends(_actor)]
"""Who sends the request; `api` without authentication."""


class LocationTerms(Body):
    """What to change of a location; what is left out stays, or has its default."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "East warehouse", "priority": 10}]})

    name: str | None = Field(default=None, max_length=200, description="For people.")
    priority: int | None = Field(
        default=None, ge=0, le=1_000_000, description="The location with the lowest number is used first; default: 100."
    )
    active: bool | None = Field(
        default=None, description="Whether further pieces may be reserved there; default: `true`."
    )


class CountTerms(LevelCount, StrictModel):
    """What was counted at one level."""


class NewCount(Body):
    """A count of levels."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"counts": [{"sku": "tea-100", "location": "east", "on_hand": 40}], "reason": "stocktaking in November"}
            ]
        }
    )

    counts: tuple[CountTerms, ...] = Field(min_length=1, max_length=MAX_COUNTS, description="Each level once.")
    reason: Reason = Field(description="For people; shown with the movements.")


class NewAdjustment(Body):
    """A change of one level."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"sku": "tea-100", "location": "east", "qty": -2, "reason": "broken in the warehouse"}]
        }
    )

    sku: StockSku
    location: LocationId
    qty: int = Field(ge=-MAX_PIECES, le=MAX_PIECES, description="How many pieces more, or with a minus fewer.")
    reason: Reason = Field(description="For people; shown with the movement.")


class Adjusted(BaseModel):
    """A level after an adjustment."""

    sku: str
    location: str
    on_hand: Int64
    reserved: Int64


class _Page(StrictModel):
    sku: str | None = Field(default=None, min_length=1, max_length=128, description="Only this SKU.")
    location: LocationId | None = Field(default=None, description="Only this location.")
    limit: int = Field(default=50, ge=1, le=200, description="Maximum number of entries.")
    cursor: str | None = Field(
        default=None, min_length=1, max_length=500, description="`next` of the previous page; default: the first page."
    )


class LevelQuery(_Page):
    """Which levels to list."""


class MovementQuery(_Page):
    """Which movements to list."""

    owner: str | None = Field(default=None, min_length=1, max_length=200, description="Only those of this order.")


class _MovementPosition(Contract):
    before: Int64


class Locations(BaseModel):
    """All locations, in the order in which they are used."""

    locations: tuple[StockLocation, ...]


class Levels(BaseModel):
    """A page of levels by SKU and location."""

    levels: tuple[StockLevel, ...]
    next: str | None = Field(description="`cursor` of the next page, with the same filters; null at the end.")


class Movements(BaseModel):
    """A page of movements, newest first."""

    movements: tuple[StockMovement, ...]
    next: str | None = Field(description="`cursor` of the next page, with the same filters; null at the end.")


@router.get(
    "/locations",
    summary="List the locations",
    responses={
        **example({"locations": [_LOCATION_EXAMPLE]}, description="The locations."),
        **error_responses(401, 403, 503),
    },
    dependencies=_READ,
)
async def locations(services: ServicesDependency) -> Locations:
    """All locations, in the order in which they are used."""
    return Locations(locations=tuple(await services.stock.locations()))


@router.put(
    "/locations/{location}",
    summary="Create or change a location",
    responses={
        **example(_LOCATION_EXAMPLE, description="The location."),
        **error_responses(*_CHANGE_ERRORS),
    },
    dependencies=_OPERATE,
)
async def set_location(
    location: Annotated[str, Path(pattern=LOCATION_ID, examples=["east"])],
    services: ServicesDependency,
    body: LocationTerms | None = None,
) -> StockLocation:
    """Create a location, or change what the body names. A location is never deleted; set `active` to false instead."""
    given = body or LocationTerms()
    return await services.stock.set_location(location, **given.model_dump())


@router.get(
    "/levels",
    summary="List what is in stock",
    responses={
        **example(
            {
                "levels": [
                    {
                        "sku": "tea-100",
                        "location": "east",
                        "on_hand": 40,
                        "reserved": 3,
                        "available": 37,
                        "active": True,
                        "updated_at": "2026-11-21T10:20:00.000000Z",
                    }
                ],
                "next": "eyJza3UiOiJ0ZWEtMTAwIiwibG9jYXRpb24iOiJlYXN0In0",
            },
            description="A page of levels.",
        ),
        **error_responses(401, 403, 422, 503),
    },
    dependencies=_READ,
)
async def levels(query: Annotated[LevelQuery, Query()], services: ServicesDependency) -> Levels:
    """List levels by SKU and location. The cost of a page does not depend on the number of levels."""
    wanted = StockFilter(sku=query.sku, location=query.location)
    after = decode_cursor(LevelPosition, query.cursor)
    found, following = await services.stock.levels(wanted, after=after, limit=query.limit)
    return Levels(levels=tuple(found), next=encode_cursor(following))


@router.post(
    "/counts",
    summary="Record what was counted",
    responses={
        **example(
            {
                "created": 0,
                "changed": 1,
                "lost": [
                    {"owner": "ord-1", "line": "1", "sku": "tea-100", "location": "east", "qty": 2, "state": "held"}
                ],
            },
            description="Recorded.",
        ),
        **error_responses(*_CHANGE_ERRORS),
    },
    dependencies=_OPERATE,
)
async def count(body: NewCount, services: ServicesDependency, actor: Actor) -> CountResult:
    """Record how many pieces are on hand at levels, all or nothing; a level that does not exist is created.

    A count is a fact and never refused: if it finds fewer pieces than are reserved, the youngest reservations lose
    them, those that are held before those that are confirmed. `lost` names them. Sending it again changes nothing.
    """
    levels = [(each.sku, each.location) for each in body.counts]
    problems = [
        f"counts[{number}]: the level is in counts[{levels.index(level)}] too; count it once"
        for number, level in enumerate(levels)
        if levels.index(level) < number
    ]
    if problems:
        raise Unprocessable(problems)
    try:
        return await services.stock.count(body.counts, reason=body.reason, actor=actor)
    except UnknownLocation as error:
        raise Unprocessable(
            [
                f"counts[{number}].location: {error.message(each.location)}"
                for number, each in enumerate(body.counts)
                if each.location in error.locations
            ]
        ) from error


@router.post(
    "/adjustments",
    summary="Add or take away pieces",
    responses={
        **example({"sku": "tea-100", "location": "east", "on_hand": 38, "reserved": 3}, description="Adjusted."),
        **error_responses(
            *_CHANGE_ERRORS,
            409,
            rejection="3 pieces of 'tea-100' are on hand at 'east' and 2 of them reserved: 2 can't be taken away",
            rejected=STOCK_REJECTED,
        ),
    },
    dependencies=_OPERATE,
)
async def adjust(
    body: NewAdjustment,
    services: ServicesDependency,
    actor: Actor,
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            description="The same key with the same change is one adjustment; with another change it is 409. Without a"
            " key, each request is another adjustment.",
        ),
    ] = None,
) -> Adjusted:
    """Change how many pieces are on hand at a level. Reserved ones can't be taken away: count the level then."""
    try:
        level = await services.stock.adjust(
            body.sku, body.location, body.qty, reason=body.reason, actor=actor, key=idempotency_key
        )
    except UnknownLocation as error:
        raise Unprocessable([str(error)]) from error
    return Adjusted(sku=body.sku, location=body.location, on_hand=level.on_hand, reserved=level.reserved)


@router.get(
    "/movements",
    summary="List the movements",
    responses={
        **example({"movements": [_MOVEMENT_EXAMPLE], "next": "eyJiZWZvcmUiOjE3fQ"}, description="A page of movements."),
        **error_responses(401, 403, 422, 503),
    },
    dependencies=_READ,
)
async def movements(query: Annotated[MovementQuery, Query()], services: ServicesDependency) -> Movements:
    """List every change of what is on hand, newest first: counts, adjustments, dispatches and restocks."""
    wanted = StockFilter(sku=query.sku, location=query.location, owner=query.owner)
    position = decode_cursor(_MovementPosition, query.cursor)
    found, before = await services.stock.movements(
        wanted, before=None if position is None else position.before, limit=query.limit
    )
    following = None if before is None else _MovementPosition(before=before)
    return Movements(movements=tuple(found), next=encode_cursor(following))
