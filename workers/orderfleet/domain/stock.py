"""Stock: locations, levels, reservations and movements, what the database decides about them, and its interface.

Guards refuse intents, never facts: a reservation, a commit or an adjustment downward is refused if pieces are missing;
a count or a restock is always recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Protocol, Self

from pydantic import Field, StringConstraints, model_validator

from orderfleet.domain.base import LOCATION_ID, MAX_TEXT_LENGTH, Contract, Int64
from orderfleet.domain.money import LineId

MAX_PIECES: Final = 2**31 - 1
"""Of one level, movement or reservation."""

LocationId = Annotated[str, StringConstraints(pattern=LOCATION_ID)]
"""1 to 63 letters, digits, dots, underscores or dashes; the first is a letter or a digit."""
StockSku = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
"""What an item's `sku` is."""
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT_LENGTH)]
"""Why a person changed the stock."""


class StockLocation(Contract):
    """Where pieces are."""

    location: LocationId
    name: str = Field(default="", max_length=200)
    priority: int = Field(default=100, ge=0, le=1_000_000)
    """The location with the lowest number is used first."""
    active: bool = True
    """Whether further pieces may be reserved there."""


class StockPlace(Contract):
    """Pieces of one line of an order at one location."""

    line: LineId
    sku: str
    location: str
    qty: int = Field(ge=1, le=MAX_PIECES)


class AvailableStock(Contract):
    """What an owner can reserve of one SKU at one location, with what it has reserved there."""

    sku: str
    location: str
    priority: int
    available: Int64


class Reservation(Contract):
    """What an owner wants to have reserved: all of it, at exact places."""

    owner: str
    """Id of the order."""
    revision: int | None = Field(default=None, ge=1)
    """A higher one replaces the owner's reservations; the same with the same places renews them. None follows the
    present one: for a release by what does not know it."""
    lines: tuple[StockPlace, ...] = ()
    """Pieces that are dispatched included. Empty: release what is not dispatched."""
    confirm: bool = False
    """Without expiry, from before the charge until dispatch or release. A confirmed place is never held again."""
    seconds: float = Field(default=0, ge=0)
    """Time until it expires, unless it is confirmed."""

    @model_validator(mode="after")
    def _check_places(self) -> Self:
        if len({(each.line, each.sku, each.location) for each in self.lines}) < len(self.lines):
            raise ValueError("lines: a line is twice at one location; add its pieces up")
        return self


class StockOutcome(StrEnum):
    """What the database decided."""

    APPLIED = "applied"
    """Also if an earlier call had the same effect."""
    CONFLICT = "conflict"
    """Pieces are missing; nothing was changed."""
    OUTDATED = "outdated"
    """A higher revision is known, or this one with other places; nothing was changed."""
    KEY_CONFLICT = "key_conflict"
    """The key was used for other pieces; nothing was changed."""
    UNKNOWN_LOCATION = "unknown_location"
    """A location does not exist; nothing was changed."""


class MissingPieces(Contract):
    """A place with fewer pieces than wanted."""

    sku: str
    location: str
    wanted: Int64
    available: Int64
    """What the owner could have there, its present reservations included."""
    line: LineId = ""
    """Of a commit."""


class StockAnswer(Contract):
    """What the database decided about a reservation, a commit or a restock."""

    outcome: StockOutcome
    revision: int = 0
    """The owner's, of a reservation."""
    missing: tuple[MissingPieces, ...] = ()
    """For `CONFLICT`."""


class Stock(Protocol):
    """Stock as orders use it. Raises `StoreUnavailable` if it is unavailable or too slow; each call can be repeated."""

    async def available(self, skus: Collection[str], owner: str = "") -> list[AvailableStock]:
        """What can be reserved of SKUs at active locations; with an owner, its own pieces are available to it."""

    async def reserve(self, reservations: Sequence[Reservation]) -> list[StockAnswer]:
        """Reserve, renew, confirm or release for several owners; the answers in the same order."""

    async def commit(self, owner: str, key: str, lines: Sequence[StockPlace], actor: str = "order") -> StockAnswer:
        """Commit reserved pieces at their dispatch, under the key of their booking: they leave the stock."""

    async def restock(
        self, owner: str, key: str, lines: Sequence[StockPlace], reason: str, actor: str = "order"
    ) -> StockAnswer:
        """Return pieces to stock, under a key of its own."""


class StockLevel(Contract):
    """One SKU at one location."""

    sku: str
    location: str
    on_hand: Int64
    reserved: Int64
    """Without reservations that have expired."""
    available: Int64
    """On hand without what is reserved. Below 0 after a count that found fewer pieces than are being dispatched."""
    active: bool
    updated_at: datetime


class LevelPosition(Contract):
    """Position in a list of levels, directly after this one."""

    sku: str
    location: str


class LevelCount(Contract):
    """What was counted of one SKU at one location."""

    sku: StockSku
    location: LocationId
    on_hand: int = Field(ge=0, le=MAX_PIECES)


class LostPieces(Contract):
    """Pieces that a count took away from an owner."""

    owner: str
    line: LineId
    sku: str
    location: str
    qty: int
    state: str
    """`held` or `confirmed`."""


class CountResult(Contract):
    """What a count changed."""

    created: int
    """Levels that did not exist."""
    changed: int
    """Levels where another number was on hand, those created included."""
    lost: tuple[LostPieces, ...]


class AdjustedLevel(Contract):
    """A level after an adjustment."""

    on_hand: Int64
    reserved: Int64


class MovementKind(StrEnum):
    """Why what is on hand changed."""

    COUNTED = "counted"
    ADJUSTED = "adjusted"
    COMMITTED = "committed"
    """Pieces of an order were dispatched."""
    RESTOCKED = "restocked"
    """A dispatch was canceled, or pieces were returned."""


class StockMovement(Contract):
    """One change of what is on hand."""

    id: int
    at: datetime
    sku: str
    location: str
    kind: MovementKind
    qty: Int64
    """Signed."""
    on_hand: Int64
    """After it."""
    reason: str
    actor: str
    owner: str
    """The order; empty without one."""
    line: str
    key: str | None
    """Makes a repeated request the same movement."""


class StockFilter(Contract):
    """Which levels or movements to list; a field that is None does not filter."""

    sku: str | None = None
    location: str | None = None
    owner: str | None = None
    """Of movements only."""
